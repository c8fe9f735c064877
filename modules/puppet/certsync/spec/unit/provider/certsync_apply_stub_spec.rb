# frozen_string_literal: true

require 'spec_helper'

# With a program that stands in for certsync, for what certsync itself does seldom or never.
describe Puppet::Type.type(:certsync_apply).provider(:certsync) do
  include Site

  # What certsync answers.
  def report(**parts)
    { certsync: '0', server: nil, changed: false, failed: false, sets: [], hooks: [], servers: [], errors: [], warnings: [] }.merge(parts)
  end

  def set(name, **parts)
    { name: name, digest: nil, result: 'installed', reason: 'new', installs: [], error: nil, warnings: [] }.merge(parts)
  end

  def error(kind, **parts)
    { kind: kind, subject: 'a subject', cause: 'a cause', hint: nil }.merge(parts)
  end

  # With --detailed-exitcode.
  def status(command, changed:, failed:)
    return (changed ? 2 : 0) unless failed
    return 1 if command == 'plan'

    changed ? 6 : 4
  end

  # A program that answers this and leaves its arguments and its stdin.
  def stub(plan:, apply: report)
    { 'plan' => plan, 'apply' => apply }.each do |command, answer|
      write("#{command}.json", JSON.generate(answer))
      write("#{command}.status", status(command, **answer.slice(:changed, :failed)).to_s)
    end
    program(<<~SH)
      for one; do printf '%s\\0' "$one"; done >#{at('arguments')}.$1
      cat >#{at('stdin')}
      cat #{at('$1.json')}
      exit $(cat #{at('$1.status')})
    SH
  end

  def program(script)
    write('certsync', "#!/bin/sh\n#{script}", 0o755)
  end

  def arguments(command)
    File.read("#{at('arguments')}.#{command}").split("\0")
  end

  def run(others = [], **parameters)
    apply(others, executable: at('certsync'), **parameters)
  end

  let(:pending) { report(changed: true, sets: [set('a')]) }

  it 'calls the program by its arguments, without a shell' do
    stub(plan: pending, apply: pending)
    odd = at("a $(touch #{at('touched')}) 'b", 'certsync.yaml')
    done = run(spec: odd, title: odd, as: 'web1', retry: true, verify_content: true, accept: ['a b=older', 'c=names'])
    expect(done.events.first.first).to eq('success')
    options = ['--format', 'json', '--detailed-exitcode', '--as', 'web1', '--state-dir', at('state'), '--retry', '--verify-content',
               '--accept', 'a b=older', '--accept', 'c=names']
    expect(arguments('plan')).to eq(['plan', *options, odd])
    expect(arguments('apply')).to eq(['apply', *options, '--local', odd])
    expect(File.exist?(at('touched'))).to be(false)
  end

  it 'leaves out what is not asked for' do
    stub(plan: pending, apply: pending)
    run(state_dir: nil, local: false)
    expect(arguments('apply')).to eq(['apply', '--format', 'json', '--detailed-exitcode', at('certsync.yaml')])
  end

  it 'applies nothing where the plan says that there is nothing to do and it has run before' do
    write('state/last-run', '')
    stub(plan: report, apply: pending)
    expect(run.events).to eq([])
    expect(File.exist?("#{at('arguments')}.apply")).to be(false)
  end

  it 'plans a new spec from stdin, as of its place' do
    stub(plan: pending)
    run([file(content: "née: 1\n")], settings: { noop: true })
    expect(arguments('plan').last(3)).to eq(['-', '--at', at('certsync.yaml')])
    expect(File.read(at('stdin'))).to eq("née: 1\n")
  end

  it 'plans the spec that is there in a run that changes it no more' do
    stub(plan: pending, apply: pending)
    run([file(content: 'new', noop: true)])
    expect([arguments('plan').last, File.read(at('stdin'))]).to eq([at('certsync.yaml'), ''])
  end

  it 'plans the spec that is there where the catalogue leaves it as it is, or takes it away' do
    stub(plan: pending)
    write_spec('there')
    [file(content: 'there'), file(content: 'new', ensure: :absent)].each do |spec|
      run([spec], settings: { noop: true })
      expect([arguments('plan').last, File.read(at('stdin'))]).to eq([at('certsync.yaml'), ''])
    end
  end

  it 'calls no correction what is one only in part' do
    allow(Puppet).to receive(:run_mode).and_return(Puppet::Util::RunMode[:agent])
    { ['drift'] => true, ['drift', 'renewed'] => false, ['renewed'] => false }.each do |reasons, corrective|
      stub(plan: report)
      run
      changed = report(changed: true, sets: reasons.map { |reason| set(reason, reason: reason) })
      stub(plan: changed, apply: changed)
      expect(run.status.corrective_change).to be(corrective)
    end
  end

  it 'looks for a name in PATH' do
    stub(plan: report)
    path = ENV.fetch('PATH', '')
    ENV['PATH'] = "#{dir}:#{path}"
    expect(apply(executable: 'certsync').status.failed).to be(false)
    expect(arguments('plan').first).to eq('plan')
  ensure
    ENV['PATH'] = path
  end

  it 'has an event with --noop where the program is not installed yet, and fails otherwise' do
    expect(run(settings: { noop: true, show_diff: true }).events).to eq(
      [['noop', due("#{at('certsync')} is not installed yet, all would be new")]],
    )
    expect(run.at(:err)).to eq(["Could not evaluate: #{at('certsync')} is not installed"])
    expect(run(executable: 'certsync-rspec-none').at(:err)).to eq(['Could not evaluate: certsync-rspec-none is not installed'])
  end

  it 'fails with what it says where it answers nothing' do
    program("echo 'certsync: error: --frobnicate: unknown option' >&2; echo '  hint: try --help' >&2; exit 1")
    expect(run.at(:err)).to eq(["Could not evaluate: --frobnicate: unknown option\n  hint: try --help"])
  end

  {
    'nothing' => ['exit 1', 'certsync plan ended with 1 and without a whole answer'],
    'half an answer' => ["printf '{\"changed\": true,'", 'certsync plan ended with 0 and without a whole answer'],
    'another answer' => ["echo '[1]'", 'certsync plan ended with 0 and without a whole answer'],
    'all is well, and fails' => ["cat <<'JSON'\n#{JSON.generate(changed: false, failed: false, sets: [])}\nJSON\nexit 101", 'certsync plan ended with 101 and without a whole answer'],
    'bytes' => ["printf '\\377\\376' >&2", "\u{fffd}\u{fffd}"],
    'its last word' => ['kill -9 $$', 'certsync plan ended with signal 9 and without a whole answer'],
  }.each do |what, (script, words)|
    it "fails where it answers #{what}" do
      program(script)
      [{}, { noop: true }].each { |settings| expect(run(settings: settings).at(:err)).to eq(["Could not evaluate: #{words}"]) }
    end
  end

  it 'fails where it is no program' do
    write('certsync', "#!/nowhere/sh\n", 0o755)
    expect(run.at(:err).join).to match(%r{/certsync cannot be started: No such file or directory})
    write('certsync', "\x7fELF, but no more", 0o755)
    expect(run.at(:err).join).to match(%r{\ACould not evaluate: .*\?ELF})
  end

  it 'ends what takes too long, with all that it has started' do
    program("echo $$ >#{at('pid')}; sleep 300 & echo $! >>#{at('pid')}; wait")
    expect(run(timeout: 1).at(:err)).to eq(['Could not evaluate: certsync plan did not end within 1 seconds'])
    pids = File.readlines(at('pid')).map(&:to_i)
    expect(pids.size).to eq(2)
    await { pids.all? { |pid| gone?(pid) } }
  end

  it 'takes a long answer, with any character in it' do
    change = { path: 'f', before: nil, after: "é \u{1f511}\n" * 50_000 }
    stub(plan: report(changed: true, sets: [set('a', installs: [{ dest: '/d', result: 'installed', changed: true, diff: [change], notes: ['a note'] }])]))
    shown = run(timeout: 0, settings: { noop: true, show_diff: true }).at(:notice).first
    expect(shown).to start_with("\nnote: /d: a note\n--- /dev/null\n+++ /d/f\n@@ -0,0 +1,50000 @@\n+é \u{1f511}\n")
    expect(shown.lines.size).to eq(50_005)
  end

  it 'names a few sets and hooks, and counts the rest' do
    hooks = ['a', 'b'].map { |name| { name: name, set: nil, phase: 'run', result: 'due', status: nil, output: '' } }
    check = { name: 'c', set: nil, phase: 'check', result: 'due', status: nil, output: '' }
    sets = (1..9).map { |number| set("s#{number}", reason: 'renewed') } + [set('same', result: 'unchanged', reason: nil)]
    stub(plan: report(changed: true, sets: sets, hooks: hooks + [check]))
    expect(run(noop: true).events.first.last).to eq(
      due('s1 renewed, s2 renewed, s3 renewed, s4 renewed, s5 renewed, 4 more; hooks a, b due'),
    )
    stub(plan: report(changed: true, sets: [set('a', result: 'staged', reason: nil)]))
    expect(run(noop: true).events.first.last).to eq(due('a staged'))
  end

  it 'says which hosts were served where they are not left alone' do
    stub(plan: pending, apply: report(changed: true, sets: [set('a')], servers: [{ name: 'web1', result: 'done' }, { name: 'web2', result: 'unchanged' }]))
    expect(run(local: false).events).to eq([['success', 'applied: a installed; server web1 served']])
  end

  it 'fails with every error once' do
    twice = error('judgement', subject: 'a', cause: 'refused', hint: 'renew it')
    errors = report(changed: true, failed: true,
                    sets: [set('a', result: 'refused', error: twice, installs: [{ dest: '/d', result: 'failed', changed: false, diff: [], notes: [], error: twice }])],
                    hooks: [{ name: 'h', set: 'a', phase: 'run', result: 'failed', status: nil, output: "did not end within 1s\nwords\n" },
                            { name: 'v', set: nil, phase: 'verify', result: 'failed', status: nil, output: "nobody answers\n" }],
                    errors: [error('state'), error('state'), twice],
                    servers: [{ name: 'web1', result: 'failed', error: error('peer', subject: 'web1') }])
    stub(plan: errors, apply: errors)
    failed = run
    expect(failed.at(:err).first.lines.map(&:chomp)).to eq(
      ['a: refused (renew it)', 'hook h for a: run did not end within 1s', '  | words', 'hook v: verify failed: nobody answers',
       'a subject: a cause', 'web1: a cause'],
    )
    expect(failed.status.failed).to be(true)
  end

  it 'fails where another run holds the lock' do
    stub(plan: pending, apply: report(failed: true, errors: [error('lock', subject: '/s/run.lock', cause: 'held by process 7')]))
    expect(run.at(:err).first).to eq('/s/run.lock: held by process 7')
  end

  it 'says so where another run was quicker' do
    stub(plan: pending, apply: report)
    expect(run.events).to eq([['success', 'applied by another run in the meantime']])
  end

  it 'fails where it says no more than that it failed' do
    stub(plan: report(failed: true))
    expect(run.at(:err)).to eq(['Could not evaluate: certsync has failed'])
    stub(plan: pending, apply: report(failed: true))
    expect(run.at(:err).first).to eq('certsync has failed')
  end

  it 'forgives a host above that does not answer, and nothing else' do
    away = error('upstream', subject: 'mgmt')
    stub(plan: report(failed: true, errors: [away], warnings: ['beware', 'beware']))
    expect(run.at(:warning)).to eq(['beware', 'mgmt: a cause'])
    expect(run(local: false).at(:err)).to eq(['Could not evaluate: mgmt: a cause'])
    stub(plan: report(failed: true, errors: [away, error('state')]))
    expect([run.at(:warning), run.at(:err)]).to eq([['mgmt: a cause'], ['Could not evaluate: a subject: a cause']])
  end
end
