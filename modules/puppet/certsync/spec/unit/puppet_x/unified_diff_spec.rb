# frozen_string_literal: true

require 'spec_helper'
require 'puppet_x/certsync/unified_diff'

describe PuppetX::Certsync::UnifiedDiff do
  def diff(before, after)
    Dir.mktmpdir do |dir|
      [['before', before], ['after', after]].each { |name, text| File.write(File.join(dir, name), text) }
      Open3.capture2('diff', '--label', 'x', '--label', 'x', '-u', File.join(dir, 'before'), File.join(dir, 'after')).first
    end
  end

  def text(*lines)
    lines.map { |line| "#{line}\n" }.join
  end

  it 'says nothing of what is equal' do
    expect(described_class.of('x', "a\n", "a\n")).to eq('')
    expect(described_class.of('x', nil, nil)).to eq('')
  end

  it 'names what is not there' do
    expect(described_class.of('/d/f', nil, "a\nb\n")).to eq("--- /dev/null\n+++ /d/f\n@@ -0,0 +1,2 @@\n+a\n+b\n")
    expect(described_class.of('/d/f', "a\nb\n", nil)).to eq("--- /d/f\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n")
  end

  it 'is what diff writes where there is one way to write it' do
    long = (1..40).map(&:to_s)
    {
      'one line' => [['a'], ['b']],
      'a line more' => [['a'], ['a', 'b']],
      'a line less' => [['a', 'b', 'c'], ['a', 'c']],
      'two places' => [long, long.dup.tap { |lines| lines[4] = 'x' }.tap { |lines| lines[30] = 'y' }],
      'two places that touch' => [long, long.dup.tap { |lines| lines[10] = 'x' }.tap { |lines| lines[17] = 'y' }],
      'two places that do not quite touch' => [long, long.dup.tap { |lines| lines[10] = 'x' }.tap { |lines| lines[18] = 'y' }],
      'the beginning and the end' => [long, ['new'] + long[1..-2]],
    }.each do |what, (before, after)|
      expect(described_class.of('x', text(*before), text(*after))).to eq(diff(text(*before), text(*after))), what
    end
  end

  it 'can be applied, whatever it is of' do
    random = Random.new(7)
    60.times do
      before, after = Array.new(2) { Array.new(random.rand(12)) { ['a', 'b', 'c', 'd'].sample(random: random) } }
      steps = described_class.steps(before, after)
      expect(steps.reject { |kind, _| kind == '+' }.map(&:last)).to eq(before)
      expect(steps.reject { |kind, _| kind == '-' }.map(&:last)).to eq(after)
    end
  end

  it 'is quick where nothing is alike' do
    lines = ->(word) { Array.new(20_000) { |number| "#{word} #{number}" } }
    began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    expect(described_class.of('x', text(*lines.call('a')), text(*lines.call('b'))).lines.size).to eq(40_003)
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - began).to be < 20
  end
end
