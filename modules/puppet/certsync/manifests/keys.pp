# @summary The host's own key, and who may come in with theirs
# @api private
class certsync::keys {
  exec { "certsync keygen in ${certsync::state_dir}":
    command => [$certsync::path, 'keygen', '--quiet', '--state-dir', $certsync::state_dir],
    creates => "${certsync::state_dir}/keys/id_ed25519",
  }

  $gate = $certsync::gate ? { true => file, default => absent }
  file { $certsync::sshd_config:
    ensure       => $gate,
    content      => epp('certsync/sshd.conf.epp'),
    owner        => 'root',
    group        => 'root',
    mode         => '0644',
    validate_cmd => '/usr/sbin/sshd -t -f %',
    notify       => Exec['certsync: sshd reads its configuration anew'],
  }

  exec { 'certsync: sshd reads its configuration anew':
    command     => $certsync::sshd_reload,
    path        => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    refreshonly => true,
  }

  $rule = [$certsync::gate, $certsync::privilege] ? { [true, 'sudo'] => file, default => absent }
  file { '/etc/sudoers.d/certsync':
    ensure       => $rule,
    content      => epp('certsync/sudoers.epp'),
    owner        => 'root',
    group        => 'root',
    mode         => '0440',
    validate_cmd => '/usr/sbin/visudo -cf %',
  }

  if $certsync::known_hosts {
    $tell = "${certsync::path} known-hosts --spec ${certsync::spec_path} --state-dir ${certsync::state_dir}${certsync::as}"
    exec { "certsync known-hosts in ${certsync::known_hosts}":
      command  => "${tell} --write ${certsync::known_hosts}",
      unless   => "test -e ${certsync::known_hosts} && ! ${tell} | grep -qvxFf ${certsync::known_hosts}",
      path     => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
      provider => shell,
    }
    # What has left the spec leaves the file.
    File <| title == $certsync::spec_path |> ~> Exec["certsync known-hosts in ${certsync::known_hosts}"]
  }
}
