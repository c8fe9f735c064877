# frozen_string_literal: true

require 'tempfile'
require_relative '../../../puppet_x/certsync/program'
require_relative '../../../puppet_x/certsync/report'

Puppet::Type.type(:certsync_apply).provide(:certsync) do
  desc 'Runs the program `certsync`, without a shell.'

  defaultfor kernel: 'Linux'

  # `puppet resource` can list none: which specs there are nobody knows.
  def self.instances
    []
  end

  # Whether the host is what the spec says.
  #
  # @return [Symbol, String] `:applied`, or what there is to do, in words
  def state
    @outcome = nil
    path = PuppetX::Certsync::Program.find(resource[:executable])
    return without_program if path.nil?

    @program = PuppetX::Certsync::Program.new(path, resource[:timeout])
    @plan = ask_for_plan
    judge_plan
  end

  # Logs what would be changed.
  def show_plan
    show(@plan) if @plan
  end

  def drift?
    !@plan.nil? && @plan.drift?
  end

  # Does what there is to do.
  #
  # @raise [Puppet::Error] where any of it failed; what could be done is done all the same
  def apply
    report = answer('apply', [*(['--local'] if resource[:local]), resource[:spec]])
    warn_of(report.warnings)
    show(report)
    @outcome = done(report)
    return unless report.failed?

    resource.notice(@outcome) if report.changed?
    fail_with(report.faults)
  end

  # @return [String] what was done, in words
  def outcome
    @outcome || 'applied'
  end

  private

  def done(report)
    return "applied: #{report.done}" if report.changed?

    # By the time it came to it, another run may have done it.
    @first ? 'applied: ready for what others bring' : 'applied by another run in the meantime'
  end

  # A host that waits for others has nothing to do by its plan, and yet its first run makes the folders in which they leave what they bring.
  def first?
    !File.exist?(File.join(resource[:state_dir] || '/var/lib/certsync', 'last-run'))
  end

  def noop?
    resource.parameter(:ensure).noop
  end

  def without_program
    @plan = nil
    raise Puppet::Error, "#{resource[:executable]} is not installed" unless noop?

    "#{resource[:executable]} is not installed yet, all would be new"
  end

  def ask_for_plan
    return answer('plan', [resource[:spec]]) unless noop?

    with_new_spec do |path|
      path ? answer('plan', ['-', '--at', resource[:spec]], input: path) : answer('plan', [resource[:spec]])
    end
  end

  # With --noop, what the catalog would put into the spec file, as a temporary file; nothing where the file that is there stays.
  def with_new_spec
    file = managed_spec
    wanted = file && (file.parameter(:source) || file.parameter(:content))
    return yield nil if wanted.nil? || file[:ensure] == :absent || (!file.replace? && File.exist?(resource[:spec]))

    Tempfile.create('certsync-spec') do |new|
      new.binmode
      wanted.write(new)
      new.close
      yield same?(new.path) ? nil : new.path
    end
  end

  def managed_spec
    found = resource.catalog&.resource(:file, resource[:spec])
    found if found.is_a?(Puppet::Type)
  end

  def same?(path)
    File.file?(resource[:spec]) && FileUtils.compare_file(resource[:spec], path)
  end

  def judge_plan
    forgiven, rest = @plan.faults.partition { |fault| forgiven?(fault) }
    awaited, serious = rest.partition { |fault| awaited?(fault) }
    # An apply that follows tells its warnings itself.
    warn_of(@plan.warnings + forgiven.map(&:to_s)) if noop? || !@plan.changed?
    if serious.any? || (@plan.failed? && @plan.faults.empty?)
      # With --noop nothing comes afterwards: what would be changed is shown in any case.
      show(@plan) if noop? && @plan.changed?
      fail_with(serious) if noop? || !@plan.changed?
    end
    return "nothing is planned yet: #{awaited.map(&:cause).join(', ')}" if awaited.any?

    return @plan.pending if @plan.changed?

    @first = first?
    @first ? 'nothing but to be ready for what others bring' : :applied
  end

  # A plan asks the host above, as an apply that leaves others alone does: that it does not answer is no fault of this host.
  def forgiven?(fault)
    resource[:local] && fault.kind == 'upstream'
  end

  # With --noop nobody has made the users and groups yet that the catalog is about to make.
  def awaited?(fault)
    return false unless noop? && fault.kind == 'spec' && (match = fault.cause.match(%r{\Ano (user|group) `([^`]+)` on this host\z}))

    found = resource.catalog&.resource(match[1].to_sym, match[2])
    !found.nil? && found[:ensure] != :absent
  end

  def answer(command, place, **streams)
    run = @program.run([command, *options, *place], **streams)
    report = PuppetX::Certsync::Report.parse(run.stdout)
    return report if report && (report.failed? || [0, 2].include?(run.status))

    # It could not begin, did not come to its end, or is no certsync at all.
    why = run.stderr.strip.sub(%r{\Acertsync: error: }, '').gsub(%r{[^[:print:]\n]}, '?')
    raise Puppet::Error, why.empty? ? "certsync #{command} ended with #{run.status} and without a whole answer" : why
  end

  def options
    options = ['--format', 'json', '--detailed-exitcode']
    options += ['--as', resource[:as]] if resource[:as]
    options += ['--state-dir', resource[:state_dir]] if resource[:state_dir]
    options << '--retry' if resource[:retry]
    options << '--verify-content' if resource[:verify_content]
    options + resource[:accept].flat_map { |accepted| ['--accept', accepted] }
  end

  def show(report)
    return unless resource[:show_diff] && Puppet[:show_diff]

    diff = report.diff
    resource.send(resource[:loglevel], "\n#{diff}") unless diff.empty?
  end

  def warn_of(warnings)
    warnings.each { |warning| resource.warning(warning) }
  end

  def fail_with(faults)
    raise Puppet::Error, faults.empty? ? 'certsync has failed' : faults.join("\n")
  end
end
