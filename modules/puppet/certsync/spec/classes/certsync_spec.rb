# frozen_string_literal: true

require 'spec_helper'

describe 'certsync' do
  let(:facts) { Hosts.debian }
  let(:spec) { { 'version' => 1, 'certs' => { 'www.example.com' => { 'source' => '/src', 'install' => '/etc/tls' } } } }
  let(:head) { "# Managed by configuration management; what is changed here is overwritten.\n" }
  let(:place) { '--state-dir /var/lib/certsync /etc/certsync/certsync.yaml' }

  { 'Debian 12' => [Hosts.debian, ['service', 'ssh', 'reload']], 'Red Hat 9' => [Hosts.red_hat, ['systemctl', 'reload', 'sshd.service']] }.each do |name, (facts, reload)|
    context "on #{name}" do
      let(:facts) { facts }
      let(:params) { { spec: spec } }

      it { is_expected.to compile.with_all_deps }
      it { is_expected.to contain_exec('certsync: sshd reads its configuration anew').with(command: reload, refreshonly: true) }

      it 'installs, writes, makes keys, schedules and applies, in that order' do
        ['install', 'config', 'keys', 'schedule'].zip(['config', 'keys', 'schedule', 'apply']).each do |first, second|
          is_expected.to contain_class("certsync::#{first}").that_comes_before("Class[certsync::#{second}]")
        end
      end
    end
  end

  context 'with nothing but defaults' do
    it { is_expected.to compile.with_all_deps }
    it { is_expected.not_to contain_file('/usr/bin/certsync') }
    it { is_expected.not_to contain_package('certsync') }
    it { is_expected.not_to contain_file('/etc/certsync/certsync.yaml') }
    it { is_expected.to contain_group('certsync').with(ensure: 'present', system: true) }
    it { is_expected.to contain_user('certsync').with(gid: 'certsync', home: '/srv/certsync', system: true, managehome: true) }
    it { is_expected.to contain_file('/etc/certsync').with(ensure: 'directory', owner: 'root', group: 'certsync', mode: '0750') }

    it 'makes the key once, without a shell' do
      is_expected.to contain_exec('certsync keygen in /var/lib/certsync').with(
        command: ['/usr/bin/certsync', 'keygen', '--quiet', '--state-dir', '/var/lib/certsync'], creates: '/var/lib/certsync/keys/id_ed25519',
      )
    end

    it 'has sshd ask certsync' do
      is_expected.to contain_file('/etc/ssh/sshd_config.d/certsync.conf').with(
        ensure: 'file', mode: '0644', validate_cmd: '/usr/sbin/sshd -t -f %', notify: 'Exec[certsync: sshd reads its configuration anew]',
      ).with_content(%r{\A#{head}.*^Match User certsync$.*^    AuthorizedKeysCommand /usr/bin/certsync authorized-keys --spec /etc/certsync/certsync.yaml --state-dir /var/lib/certsync --for-key %f$}m)
    end

    it 'has one rule for sudo' do
      is_expected.to contain_file('/etc/sudoers.d/certsync').with(ensure: 'file', mode: '0440', validate_cmd: '/usr/sbin/visudo -cf %').with_content(
        "#{head}certsync ALL=(root) NOPASSWD: /usr/bin/certsync apply --format json #{place} --if-requested\n",
      )
    end

    it 'has cron run it, and nothing else' do
      is_expected.to contain_file('/etc/cron.d/certsync').with(ensure: 'file', mode: '0644').with_content(
        "#{head}0 * * * * root /usr/bin/certsync apply --quiet --splay 10m #{place}\n",
      )
      ['certsync', 'certsync-inbox'].each { |unit| is_expected.to contain_certsync__unit(unit).with_ensure('absent') }
      ['post', 'deploy'].each { |hook| is_expected.to contain_file("/etc/letsencrypt/renewal-hooks/#{hook}/certsync").with_ensure('absent') }
    end

    it 'applies the spec that is there' do
      is_expected.to contain_certsync_apply('/etc/certsync/certsync.yaml').with(
        executable: '/usr/bin/certsync', state_dir: '/var/lib/certsync', as: nil, accept: [], show_diff: true,
      )
    end
  end

  context 'with a program from a file' do
    let(:params) { { binary: 'puppet:///modules/profile/certsync', path: '/usr/local/bin/certsync', package: 'unused' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_file('/usr/local/bin/certsync').with(source: 'puppet:///modules/profile/certsync', owner: 'root', group: 'root', mode: '0755') }
    it { is_expected.not_to contain_package('unused') }
    it { is_expected.to contain_certsync_apply('/etc/certsync/certsync.yaml').with_executable('/usr/local/bin/certsync') }
    it { is_expected.to contain_exec('certsync keygen in /var/lib/certsync').with_command(%r{\A\["/usr/local/bin/certsync"|\A/usr/local/bin/certsync}) }
    it { is_expected.to contain_file('/etc/cron.d/certsync').with_content(%r{ /usr/local/bin/certsync apply }) }
  end

  context 'with a package, and the version asked for' do
    let(:params) { { package: 'certsync-bin', package_ensure: '0.2.0-1', version: '0.2.0' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_package('certsync-bin').with_ensure('0.2.0-1').that_comes_before('Exec[certsync is of version 0.2.0]') }
    it { is_expected.to contain_exec('certsync is of version 0.2.0').that_comes_before(['Group[certsync]', 'User[certsync]']) }
    it { is_expected.to contain_exec('certsync is of version 0.2.0').with_unless('test "$(/usr/bin/certsync --version)" = "certsync 0.2.0"') }
  end

  context 'with other names and places' do
    let(:params) do
      { user: 'ssl', group: 'sslgroup', home: '/home/ssl', spec: spec, spec_path: '/srv/ssl/spec.yaml', state_dir: '/srv/state', server_name: 'web1',
        sshd_config: '/etc/ssh/other.conf', sshd_reload: ['true'], interval: 15, splay: '90s', accept: ['www.example.com=older'], show_diff: false,
        apply_timeout: 900 }
    end
    let(:place) { '--state-dir /srv/state --as web1 /srv/ssl/spec.yaml' }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_user('ssl').with(gid: 'sslgroup', home: '/home/ssl') }
    it { is_expected.to contain_file('/srv/ssl').with_group('sslgroup') }
    it { is_expected.to contain_exec('certsync keygen in /srv/state') }
    it { is_expected.to contain_file('/etc/ssh/other.conf').with_content(%r{^Match User ssl$.* --spec /srv/ssl/spec.yaml --state-dir /srv/state --as web1 --for-key %f$}m) }
    it { is_expected.to contain_exec('certsync: sshd reads its configuration anew').with_command(['true']) }
    it { is_expected.to contain_file('/etc/sudoers.d/certsync').with_content(%r{^ssl ALL=\(root\) NOPASSWD: /usr/bin/certsync apply --format json #{place} --if-requested$}) }
    it { is_expected.to contain_file('/etc/cron.d/certsync').with_content(%r{^\*/15 \* \* \* \* root /usr/bin/certsync apply --quiet --splay 90s #{place}$}) }

    it 'checks the spec before it replaces the file, as what it will be' do
      is_expected.to contain_file('/srv/ssl/spec.yaml').with(
        mode: '0640', owner: 'root', group: 'sslgroup', show_diff: false,
        validate_cmd: '/usr/bin/certsync validate - --at /srv/ssl/spec.yaml --state-dir /srv/state --as web1 < %'
      ).with_content(%r{\A(?:#.*\n)*version: 1\ncerts:\n  www.example.com:\n    source: /src\n    install: /etc/tls\n\z})
    end

    it 'hands on what concerns this run' do
      is_expected.to contain_certsync_apply('/srv/ssl/spec.yaml').with(state_dir: '/srv/state', as: 'web1', accept: ['www.example.com=older'], show_diff: false, timeout: 900)
    end
  end

  context 'with groups that read what is installed' do
    let(:params) { { reader_groups: { 'ssl' => ['www-data', 'postfix'], 'certsync' => [] } } }
    let(:pre_condition) { "user { 'www-data': ensure => present }" }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_group('ssl').with_system(true) }
    it { is_expected.to contain_exec('www-data is in the group ssl').with_command(['usermod', '--append', '--groups', 'ssl', 'www-data']).that_requires(['Group[ssl]', 'User[www-data]']) }
    it { is_expected.to contain_exec('postfix is in the group ssl') }
  end

  context 'without a gate' do
    let(:params) { { gate: false, privilege: 'path_unit' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_file('/etc/ssh/sshd_config.d/certsync.conf').with_ensure('absent').that_notifies('Exec[certsync: sshd reads its configuration anew]') }
    it { is_expected.to contain_file('/etc/sudoers.d/certsync').with_ensure('absent') }
    it { is_expected.to contain_certsync__unit('certsync-inbox').with_ensure('absent') }
  end

  context 'with a path unit instead of sudo' do
    let(:params) { { privilege: 'path_unit' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_file('/etc/sudoers.d/certsync').with_ensure('absent') }
    it { is_expected.to contain_file('/etc/systemd/system/certsync-inbox.path').with_content(%r{^PathExistsGlob=/var/lib/certsync/inbox/request-\*$}) }
    it { is_expected.to contain_file('/etc/systemd/system/certsync-inbox.service').with_content(%r{^ExecStart=/usr/bin/certsync apply --quiet #{place}$}) }
    it { is_expected.to contain_service('certsync-inbox.path').with(ensure: 'running', enable: true) }
  end

  context 'with neither sudo nor a path unit' do
    let(:params) { { privilege: 'none' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_file('/etc/sudoers.d/certsync').with_ensure('absent') }
    it { is_expected.not_to contain_service('certsync-inbox.path') }
  end

  context 'with a host above that may have this one plan' do
    let(:params) { { remote_plan: true } }

    it { is_expected.to contain_file('/etc/sudoers.d/certsync').with_content(%r{ apply --format json #{place} --if-requested\ncertsync ALL=\(root\) NOPASSWD: /usr/bin/certsync plan --format json #{place} --brought\n\z}) }
  end

  context 'with a timer' do
    let(:params) { { scheduler: 'timer', interval: 30 } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_file('/etc/cron.d/certsync').with_ensure('absent') }
    it { is_expected.to contain_file('/etc/systemd/system/certsync.timer').with_content(%r{^OnUnitInactiveSec=30min$}).that_notifies('Exec[certsync: systemd reads certsync anew]') }
    it { is_expected.to contain_file('/etc/systemd/system/certsync.service').with_content(%r{^ExecStart=/usr/bin/certsync apply --quiet --splay 10m #{place}$}) }
    it { is_expected.to contain_service('certsync.timer').with(ensure: 'running', enable: true) }
  end

  { 1 => '*/1 *', 60 => '0 *', 120 => '0 */2', 720 => '0 */12', 1440 => '0 0' }.each do |interval, time|
    context "with an interval of #{interval} minutes" do
      let(:params) { { interval: interval } }

      it { is_expected.to contain_file('/etc/cron.d/certsync').with_content(%r{^#{Regexp.escape(time)} \* \* \* root /usr/bin/certsync apply }) }
    end
  end

  context 'with no schedule' do
    let(:params) { { scheduler: 'none' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_file('/etc/cron.d/certsync').with_ensure('absent') }
    it { is_expected.to contain_certsync__unit('certsync').with_ensure('absent') }
  end

  { 'post' => 'apply', 'deploy' => 'deploy-hook' }.each do |hook, command|
    context "with certbot's #{hook} hook" do
      let(:params) { { certbot_hook: hook } }
      let(:script) { "/etc/letsencrypt/renewal-hooks/#{hook}/certsync" }

      it { is_expected.to compile.with_all_deps }
      it { is_expected.to contain_file(script).with(ensure: 'file', mode: '0755').with_content("#!/bin/sh\n#{head}exec /usr/bin/certsync #{command} --quiet #{place}\n") }
      it { is_expected.to contain_file("/etc/letsencrypt/renewal-hooks/#{(['post', 'deploy'] - [hook]).first}/certsync").with_ensure('absent') }
    end
  end

  context 'with host keys for other programs' do
    let(:params) { { known_hosts: '/etc/ssh/ssh_known_hosts', spec: spec } }

    it { is_expected.to compile.with_all_deps }
    it 'writes them after the spec, where it has others' do
      is_expected.to contain_exec('certsync known-hosts in /etc/ssh/ssh_known_hosts').that_requires('File[/etc/certsync/certsync.yaml]').with(
        provider: 'shell', command: %r{\A/usr/bin/certsync known-hosts --spec /etc/certsync/certsync.yaml --state-dir /var/lib/certsync --write /etc/ssh/ssh_known_hosts\z},
      )
    end
  end

  context 'with nothing to be applied in this run' do
    let(:params) { { apply: false } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.not_to contain_certsync_apply('/etc/certsync/certsync.yaml') }
    it { is_expected.to contain_file('/etc/cron.d/certsync').with_ensure('file') }
  end

  context 'with a group that the site has already' do
    let(:pre_condition) { "group { 'ssl': gid => 900 }" }
    let(:params) { { reader_groups: { 'ssl' => ['www-data'] } } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_group('ssl').with_gid(900) }
  end

  context 'when it is to go' do
    let(:params) { { ensure: 'absent', binary: '/root/certsync', reader_groups: { 'ssl' => ['www-data'] }, spec: spec } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.not_to contain_certsync_apply('/etc/certsync/certsync.yaml') }
    it { is_expected.not_to contain_class('certsync::install') }
    it { is_expected.not_to contain_group('ssl') }
    it { is_expected.to contain_exec('certsync: take the account certsync away').with_onlyif(%r{:/srv/certsync:/bin/sh\$}) }
    it { is_expected.to contain_exec('certsync: take the group certsync away').that_requires('Exec[certsync: take the account certsync away]') }
    it { is_expected.to contain_file('/usr/bin/certsync').that_requires('Exec[certsync: take its state away; installed certificates stay where they are]') }

    ['/etc/cron.d/certsync', '/etc/sudoers.d/certsync', '/etc/ssh/sshd_config.d/certsync.conf', '/etc/certsync/certsync.yaml', '/usr/bin/certsync',
     '/etc/systemd/system/certsync.timer', '/etc/systemd/system/certsync-inbox.path', '/etc/letsencrypt/renewal-hooks/post/certsync',
     '/etc/letsencrypt/renewal-hooks/deploy/certsync'].each do |path|
      it { is_expected.to contain_file(path).with_ensure('absent') }
    end
  end

  context 'when a package is to go' do
    let(:params) { { ensure: 'absent', package: 'certsync-bin' } }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_package('certsync-bin').with_ensure('absent') }
  end

  {
    ensure: 'gone', binary: 'certsync', path: 'usr/bin/certsync', state_dir: '/var/lib/a b', spec_path: '/etc/certsync.yaml', user: 'a b', group: '-g',
    home: 'srv', reader_groups: ['ssl'], spec: {}, server_name: '--offline', gate: 'yes', sshd_reload: [], privilege: 'doas', known_hosts: 'known_hosts',
    scheduler: 'at', interval: 45, splay: '10', apply_timeout: -1, certbot_hook: 'pre', apply: 'yes', accept: ['example.com'], package: '', version: '', show_diff: 'no',
    remote_plan: 'yes'
  }.each do |name, value|
    context "with #{value.inspect} for #{name}" do
      let(:params) { { name => value } }

      it { is_expected.to compile.and_raise_error(%r{parameter '#{name}'}) }
    end
  end

  context 'with a spec that holds what no spec can hold' do
    let(:params) { { spec: { 'fleet' => { 'parallel' => 1.5 } } } }

    it { is_expected.to compile.and_raise_error(%r{fleet\.parallel: Float is nothing that a spec can hold}) }
  end
end
