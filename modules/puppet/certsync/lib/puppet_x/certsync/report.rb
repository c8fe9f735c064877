# frozen_string_literal: true

require 'json'
require_relative 'unified_diff'

module PuppetX; end unless defined?(PuppetX)
module PuppetX::Certsync; end unless defined?(PuppetX::Certsync)

# What `certsync plan --format json` and `certsync apply --format json` answer; `certsync schema report` describes it.
class PuppetX::Certsync::Report
  # One error; `kind` as certsync has it.
  Fault = Struct.new(:kind, :subject, :cause, :hint) do
    def to_s
      text = "#{subject}: #{cause}"
      hint ? "#{text} (#{hint})" : text
    end
  end

  # How many sets or hooks are named in one line.
  NAMED = 5

  # Why a set changes, in a plan and afterwards.
  REASONS = {
    'renewed' => ['renewed', 'renewed'],
    'new' => ['new', 'installed'],
    'drift' => ['drifted', 'repaired'],
    'spec' => ['changed in the spec', 'changed by the spec'],
    'rollback' => ['rolled back', 'rolled back'],
  }.freeze

  # Results of a set or an install that are, or would be, a change.
  CHANGES = ['installed', 'repaired', 'staged'].freeze

  # @param text [String] the answer
  # @return [Report, nil] nil where it is none
  def self.parse(text)
    data = JSON.parse(text)
    data.is_a?(Hash) && data.key?('changed') && data.key?('sets') ? new(data) : nil
  rescue JSON::ParserError
    nil
  end

  def initialize(data)
    @data = data
  end

  def changed?
    @data['changed'] == true
  end

  def failed?
    @data['failed'] == true
  end

  # Whether all that changes is what somebody else has changed.
  def drift?
    reasons = changing.map { |set| set['reason'] }
    !reasons.empty? && reasons.all?('drift')
  end

  # What would be, in one line.
  def pending
    words([sets { |set| "#{set['name']} #{of_set(set, 0)}" }, named(hooks(['due', 'owed']), 'hook') { |names| "#{names} due" }])
  end

  # What was done, in one line.
  def done
    words([sets { |set| "#{set['name']} #{of_set(set, 1)}" }, named(hooks(['ok']), 'hook') { |names| "#{names} ran" },
           named(hooks(['failed']), 'hook') { |names| "#{names} failed" },
           named(servers, 'server') { |names| "#{names} served" }])
  end

  # Every file that changes, in order, as `certsync plan` shows it.
  def diff
    list('sets').map { |set|
      list('installs', set).map { |install| notes(install) + list('diff', install).map { |change| of_change(install, change) }.join }.join
    }.join
  end

  # What the operator should know though nothing failed.
  def warnings
    (list('sets').flat_map { |set| list('warnings', set).map { |warning| "#{set['name']}: #{warning}" } } + list('warnings')).uniq
  end

  # Everything that failed, each once.
  def faults
    found = list('sets').flat_map { |set| [set['error'], *list('installs', set).map { |install| install['error'] }] }
    hooks = list('hooks').select { |hook| hook['result'] == 'failed' }.map { |hook| of_hook(hook) }
    rest = list('errors') + list('servers').map { |server| server['error'] }
    (found.compact.map { |error| fault(error) } + hooks + rest.compact.map { |error| fault(error) }).uniq
  end

  private

  def list(name, of = @data)
    of[name] || []
  end

  def changing
    list('sets').select { |set| CHANGES.include?(set['result']) || list('installs', set).any? { |install| install['changed'] } }
  end

  def sets(&block)
    several(changing.map(&block)).join(', ')
  end

  def of_set(set, tense)
    return 'staged' if set['result'] == 'staged'

    REASONS.fetch(set['reason'], [set['result'], set['result']])[tense].to_s
  end

  # Checks come with what they check.
  def hooks(results)
    list('hooks').select { |hook| hook['phase'] != 'check' && results.include?(hook['result']) }.map { |hook| hook['name'] }.uniq
  end

  def servers
    list('servers').select { |server| server['result'] == 'done' }.map { |server| server['name'] }
  end

  def named(names, what)
    return '' if names.empty?

    yield "#{what}#{'s' if names.size > 1} #{several(names).join(', ')}"
  end

  def several(texts)
    texts.size > NAMED + 1 ? texts.first(NAMED) + ["#{texts.size - NAMED} more"] : texts
  end

  def words(parts)
    text = parts.reject(&:empty?).join('; ')
    text.empty? ? 'something else' : text
  end

  def notes(install)
    list('notes', install).map { |note| "note: #{install['dest']}: #{note}\n" }.join
  end

  def of_change(install, change)
    path = change['path'] == '.' ? install['dest'] : "#{install['dest'].chomp('/')}/#{change['path']}"
    PuppetX::Certsync::UnifiedDiff.of(path, change['before'], change['after'])
  end

  def fault(error)
    Fault.new(error['kind'], error['subject'], error['cause'], error['hint'])
  end

  # As certsync puts it on stderr, with what the hook printed.
  def of_hook(hook)
    subject = hook['set'] ? "hook #{hook['name']} for #{hook['set']}" : "hook #{hook['name']}"
    output = hook['output'].to_s.lines(chomp: true)
    cause = if hook['status']
              "#{hook['phase']} failed with exit status #{hook['status']}"
            else
              "#{hook['phase']}#{' failed:' if hook['phase'] == 'verify' || output.empty?} #{output.shift}".rstrip.chomp(':')
            end
    Fault.new('hook', subject, [cause, *output.map { |line| "  | #{line}" }].join("\n"), nil)
  end
end
