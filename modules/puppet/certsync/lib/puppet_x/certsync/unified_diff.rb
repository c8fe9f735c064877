# frozen_string_literal: true

module PuppetX; end unless defined?(PuppetX)
module PuppetX::Certsync; end unless defined?(PuppetX::Certsync)

# The unified difference of two short texts, as `diff -u` and `certsync plan` write it.
module PuppetX::Certsync::UnifiedDiff
  CONTEXT = 3
  # Texts for whose lines the table of common subsequences would be larger are shown as replaced.
  LARGEST_TABLE = 4_000_000

  module_function

  # @param path [String] what is named in the head
  # @param before [String, nil] the text as it was, nil where there was none
  # @param after [String, nil] the text as it is now, nil where there is none
  # @return [String] the difference, with a final line break; empty where there is none
  def of(path, before, after)
    return '' if before == after

    steps = steps(lines(before), lines(after))
    head = "--- #{before ? path : '/dev/null'}\n+++ #{after ? path : '/dev/null'}\n"
    hunks(steps).reduce(head) { |text, range| text + hunk(steps, range) }
  end

  def lines(text)
    (text || '').split("\n")
  end

  # Each line with what becomes of it: ' ', '-' or '+'.
  def steps(old, new)
    start = old.zip(new).take_while { |one, other| one == other }.size
    finish = [old.size, new.size].min - start
    finish = (0...finish).take_while { |n| old[-1 - n] == new[-1 - n] }.size
    middle = between(old[start...old.size - finish], new[start...new.size - finish])
    same(old.first(start)) + middle + same(old.last(finish))
  end

  def same(lines)
    lines.map { |line| [' ', line] }
  end

  def between(old, new)
    return old.map { |line| ['-', line] } + new.map { |line| ['+', line] } if old.empty? || new.empty? || old.size * new.size > LARGEST_TABLE

    longest = longest(old, new)
    at = to = 0
    steps = []
    while at < old.size || to < new.size
      if at < old.size && to < new.size && old[at] == new[to]
        steps << [' ', old[at]]
        at += 1
        to += 1
      elsif to == new.size || (at < old.size && longest[at + 1][to] >= longest[at][to + 1])
        steps << ['-', old[at]]
        at += 1
      else
        steps << ['+', new[to]]
        to += 1
      end
    end
    gathered(steps)
  end

  # For each pair of places, how many lines the rests have in common.
  def longest(old, new)
    table = Array.new(old.size + 1) { Array.new(new.size + 1, 0) }
    (old.size - 1).downto(0) do |at|
      (new.size - 1).downto(0) do |to|
        table[at][to] = old[at] == new[to] ? table[at + 1][to + 1] + 1 : [table[at + 1][to], table[at][to + 1]].max
      end
    end
    table
  end

  # What goes stands before what comes.
  def gathered(steps)
    steps.chunk_while { |one, other| (one.first == ' ') == (other.first == ' ') }.flat_map do |chunk|
      chunk.partition { |kind, _| kind != '+' }.flatten(1)
    end
  end

  # The parts that change, with their surroundings; parts whose surroundings touch are one.
  def hunks(steps)
    changed = steps.each_index.reject { |index| steps[index].first == ' ' }
    changed.slice_when { |one, other| other - one > 2 * CONTEXT + 1 }.map do |part|
      [part.first - CONTEXT, 0].max..[part.last + CONTEXT, steps.size - 1].min
    end
  end

  def hunk(steps, range)
    ahead = steps[0...range.begin]
    part = steps[range]
    head = "@@ -#{span(ahead, part, '+')} +#{span(ahead, part, '-')} @@\n"
    part.reduce(head) { |text, (kind, line)| text + "#{kind}#{line}\n" }
  end

  # Where a part begins and how many lines it has, without those of the other side.
  def span(ahead, part, other)
    count = ->(steps) { steps.count { |kind, _| kind != other } }
    length = count.call(part)
    start = count.call(ahead) + (length.zero? ? 0 : 1)
    length == 1 ? start.to_s : "#{start},#{length}"
  end
end
