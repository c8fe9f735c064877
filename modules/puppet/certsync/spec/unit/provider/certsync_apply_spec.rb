# frozen_string_literal: true

require 'spec_helper'

# With the program itself.
describe Puppet::Type.type(:certsync_apply).provider(:certsync), :site do
  before do
    @key = issue
    write_spec
  end

  let(:diff) { { show_diff: true } }

  def lines_of(key)
    key.lines.reject { |line| line.start_with?('-----') }.map(&:chomp)
  end

  it 'applies once, says what, and has nothing to do afterwards' do
    first = apply
    expect(first.events).to eq([['success', 'applied: www.example.com installed; hook count ran']])
    expect([installed, runs]).to eq([File.read(at('src/www.example.com/fullchain.pem')), 1])
    before = tree.reject { |path, *| path.start_with?(at('state')) }
    second = apply
    expect([second.events, second.status.out_of_sync, second.at(:notice)]).to eq([[], false, []])
    expect(tree.reject { |path, *| path.start_with?(at('state')) }).to eq(before)
    expect(runs).to eq(1)
  end

  it 'shows with --noop what would be, as certsync plan does, and changes nothing' do
    before = tree
    planned = certsync('plan', at('certsync.yaml')).lines
    noop = apply(settings: { noop: true, show_diff: true })
    expect(noop.events).to eq([['noop', due('www.example.com new; hook count due')]])
    expect(noop.at(:notice).first).to eq("\n#{planned.select { |line| line.start_with?('--- ', '+++ ', '@@', '+', '-', ' ') }.join}")
    expect(noop.at(:notice).first).to include('+private key EC P-256 SHA256:')
    expect(tree).to eq(before)
    expect(noop.at(:err) + noop.at(:warning)).to eq([])
  end

  it 'honours noop of the resource' do
    expect(apply(noop: true).events.map(&:first)).to eq(['noop'])
    expect(File.exist?(at('dest'))).to be(false)
  end

  it 'logs no line of a key, not even for debugging' do
    texts = [apply(settings: { noop: true, show_diff: true }), apply(settings: diff)].map(&:text)
    @key = issue
    texts << apply(settings: diff).text
    expect(texts.last).to include('not after')
    texts.each { |text| lines_of(@key).each { |line| expect(text).not_to include(line) } }
    expect(texts.first).to include("Executing: '#{Site.program} plan --format json --detailed-exitcode --state-dir #{at('state')} #{at('certsync.yaml')}'")
  end

  it 'shows a difference only where the resource and Puppet both allow it' do
    expect(apply(noop: true).at(:notice).join).not_to include('+++')
    expect(apply(noop: true, show_diff: false, settings: diff).at(:notice).join).not_to include('+++')
    expect(apply(show_diff: false, settings: diff).at(:notice)).to eq(['applied: www.example.com installed; hook count ran'])
    issue
    shown = apply(settings: diff)
    expect(shown.at(:notice).first).to match(%r{\A\n--- #{at('dest')}/\S+/fullchain.pem\n\+\+\+ .*^-  sha256 .*^\+  sha256 }m)
    expect(shown.events).to eq([['success', 'applied: www.example.com renewed; hook count ran']])
  end

  it 'repairs what somebody else has changed, and calls that alone a correction' do
    # Only an agent remembers what it has corrected.
    allow(Puppet).to receive(:run_mode).and_return(Puppet::Util::RunMode[:agent])
    apply
    File.chmod(0o600, at('dest/www.example.com/fullchain.pem'))
    drifted = apply(noop: true, settings: diff)
    expect(drifted.events.first.last).to include('www.example.com drifted')
    expect(drifted.at(:notice).first).to include("-mode  -rw-------\n+mode  -rw-r--r--\n")
    repaired = apply
    expect(repaired.events.first).to match(['success', %r{\Aapplied: www.example.com repaired}])
    expect(repaired.status.corrective_change).to be(true)
    issue
    expect(apply.status.corrective_change).to be(false)
  end

  it 'plans the new content of the spec with --noop, never the old file' do
    apply
    before = tree
    new = spec(more: ", key_mode: '-rw-r-----'")
    planned = apply([file(content: new)], settings: { noop: true, show_diff: true })
    expect(planned.events).to eq([['noop', due('www.example.com changed in the spec')]])
    expect(planned.at(:notice).join).to include("-mode  -rw-------\n+mode  -rw-r-----\n")
    source = write('new.yaml', new)
    expect(apply([file(source: source)], settings: { noop: true }).events).to eq(planned.events)
    # Nobody would read this one.
    expect(apply([file(content: new, replace: false)], settings: { noop: true }).events).to eq([])
    expect(apply([file(content: spec)], settings: { noop: true }).events).to eq([])
    expect(apply([file(mode: '0600')], settings: { noop: true }).events).to eq([])
    expect(tree).to eq(before)
    expect(apply([file(content: new)]).events).to eq([['success', 'applied: www.example.com changed by the spec']])
  end

  it 'plans the spec of a bare host with --noop, however large it is' do
    FileUtils.rm(at('certsync.yaml'))
    large = spec + (1..20_000).map { |number| "# #{number} #{'x' * 60}\n" }.join
    expect(apply([file(content: large)], settings: { noop: true }).events.first.last).to eq(due('www.example.com new; hook count due'))
    expect(File.exist?(at('certsync.yaml'))).to be(false)
  end

  it 'awaits with --noop the group that the catalogue is about to make' do
    name = 'certsync-rspec-none'
    write_spec(spec(more: ", group: #{name}"))
    group = Puppet::Type.type(:group).new(title: 'of the readers', name: name, ensure: :present)
    expect(apply([group], settings: { noop: true }).events).to eq(
      [['noop', due("nothing is planned yet: no group `#{name}` on this host")]],
    )
    expect(apply(settings: { noop: true }).at(:err).join).to include("no group `#{name}` on this host")
    # This group will not be there.
    left = Puppet::Type.type(:group).new(title: name, ensure: :present, noop: true)
    expect(apply([left]).at(:err).join).to include("no group `#{name}` on this host")
    gone = Puppet::Type.type(:group).new(title: name, ensure: :absent)
    expect(apply([gone], settings: { noop: true }).at(:err).join).to include("no group `#{name}` on this host")
  end

  it 'fails by a faulty spec, with --noop too, with each fault once and its place' do
    write_spec(spec(more: ', mode: 640, grup: x'))
    [{}, { noop: true }].each do |settings|
      faulty = apply(settings: settings)
      expect([faulty.status.failed, faulty.status.changed]).to eq([true, false])
      expect(faulty.at(:err).size).to eq(1)
      ['mode', 'grup'].each { |key| expect(faulty.at(:err).first.scan(%r{certsync.yaml:7:\d+: unknown key `#{key}` \(}).size).to eq(1) }
    end
    expect(File.exist?(at('dest'))).to be(false)
  end

  it 'fails by the new content of a spec that is faulty, with --noop' do
    apply
    faulty = apply([file(content: spec.sub('source:', 'sorce:'))], settings: { noop: true })
    expect(faulty.at(:err).join).to include("#{at('certsync.yaml')}:6:5: unknown key `sorce` (did you mean `source`?)")
  end

  it 'fails where a hook fails, with what it printed, until it succeeds' do
    write_spec(spec(run: 'echo oops >&2; exit 3'))
    failing = apply
    expect(failing.status.failed).to be(true)
    expect(failing.at(:err).first).to eq("hook count: run failed with exit status 3\n  | oops")
    expect(failing.at(:notice)).to eq(['applied: www.example.com installed; hook count failed'])
    expect(apply(noop: true).events).to eq([['noop', due('hook count due')]])
    expect(apply.status.failed).to be(true)
    write_spec
    expect(apply.events).to eq([['success', 'applied: hook count ran']])
    expect(apply.events).to eq([])
  end

  it 'does what can be done where one set is refused, and fails with its words' do
    other = issue('other.example')
    write('src/www.example.com/privkey.pem', other, 0o600)
    write_spec(spec + spec(name: 'other.example').lines.drop(4).join)
    noop = apply(settings: { noop: true, show_diff: true })
    expect(noop.at(:err).first).to match(%r{\ACould not evaluate: www.example.com: refused: })
    expect(noop.at(:notice).first).to include('CN=other.example')
    partly = apply
    expect(partly.status.failed).to be(true)
    expect(partly.at(:err).first).to start_with('www.example.com: refused: ')
    expect(partly.at(:notice)).to eq(['applied: other.example installed; hook count ran'])
    expect(installed('other.example')).to eq(File.read(at('src/other.example/fullchain.pem')))
    again = apply
    expect([again.status.failed, again.at(:err).size, again.at(:notice)]).to match([true, 1, []])
  end

  it 'waives a refusal for accept' do
    apply
    issue(age: 5)
    expect(apply.at(:err).first).to include('older')
    expect(apply(accept: ['www.example.com=older']).events.first.last).to start_with('applied: www.example.com renewed')
  end

  it 'tries again for retry what a check took back' do
    write_spec(spec.sub('run: [', "check: [test, '!', -e, #{at('broken')}], run: ["))
    apply
    issue
    write('broken', '')
    former = installed
    # Whatever it is that is broken: only an undone certificate is held back by it.
    write_spec(spec.sub('run: [', "check: [sh, -c, 'grep -qF \"$(sed -n 5p #{at('good.pem')})\" #{at('dest/www.example.com/fullchain.pem')}'], run: ["))
    File.write(at('good.pem'), former)
    expect(apply.status.failed).to be(true)
    expect(installed).to eq(former)
    unchanged = apply
    expect([unchanged.status.failed, unchanged.at(:notice), installed]).to eq([true, [], former])
    FileUtils.cp(at('src/www.example.com/fullchain.pem'), at('good.pem'))
    expect(apply(retry: true).events.first.first).to eq('success')
    expect(installed).not_to eq(former)
  end

  it 'warns of a host above that cannot be reached, and fails where other hosts are not left alone' do
    write_spec(<<~YAML)
      version: 1
      servers:
        mgmt: { address: 127.0.0.1, port: 1, host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkTNd/I+0gXXZi9zxBVGc1suwOYXucnYuBaRkRNcy5l" }
        web1: { address: 127.0.0.2, upstream: mgmt, public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG+58EVvOrGAX3hmPF6TuglvFT36RcUbusJLrodhEp8n" }
      certs:
        www.example.com: { source: src, targets: [web1], install: #{at('dest')} }
      fleet: { retries: 1, deadline: 5s, gate_group: none }
    YAML
    # The first run makes the folders in which others leave what they bring, though there is nothing to be installed yet.
    due_once = [['noop', due('nothing but to be ready for what others bring')]]
    done_once = [['success', 'applied: ready for what others bring']]
    [[{ noop: true }, due_once], [{}, done_once], [{}, []], [{ noop: true }, []]].each do |settings, events|
      left = apply(as: 'web1', settings: settings)
      expect([left.status.failed, left.events, left.at(:err)]).to eq([false, events, []])
      expect(left.at(:warning).join).to include('mgmt')
    end
    expect(apply(as: 'web1', local: false).status.failed).to be(true)
  end

  it 'waits for another run, and does not do again what that has done' do
    write_spec(spec(run: "echo ran >>#{at('log')}; touch #{at('at_work')}; until test -e #{at('go')}; do sleep 0.1; done"))
    other = Process.spawn(Site.program, 'apply', '--local', '-q', '--state-dir', at('state'), at('certsync.yaml'))
    await { File.exist?(at('at_work')) }
    program = write('certsync', "#!/bin/sh\ntest $1 = plan || touch #{at('go')}\nexec #{Site.program} \"$@\"\n", 0o755)
    expect(apply(executable: program).events).to eq([['success', 'applied by another run in the meantime']])
    expect([Process.wait2(other).last.exitstatus, runs]).to eq([0, 1])
  end

  it 'ends what takes too long; the next run goes on where it was' do
    write_spec(spec(run: "echo $$ >#{at('pid')}; exec sleep 300"))
    late = apply(timeout: 5)
    expect([late.status.failed, late.at(:err).first]).to eq([true, 'certsync apply did not end within 5 seconds'])
    hook = File.read(at('pid')).to_i
    await { gone?(hook) }
    write_spec
    expect([apply.events, apply.events]).to eq([[['success', 'applied: hook count ran']], []])
  end

  it 'tells each warning once, whether something is to be done or not' do
    apply
    issue('other.example')
    write_spec(spec(name: 'other.example'))
    runs = [apply(settings: { noop: true }), apply, apply, apply(settings: { noop: true })]
    expect(runs.map { |run| run.events.map(&:first) }).to eq([['noop'], ['success'], [], []])
    runs.each { |run| expect(run.at(:warning)).to match([%r{\Awww.example.com: }]) }
  end
end
