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

  $rule = [$certsync::gate, $certsync::privilege] ? { [true, 'sudo'] => file, default => absent }
  file { '/etc/sudoers.d/certsync':
    ensure       => $rule,
    content      => epp('certsync/sudoers.epp'),
    owner        => 'root',
    group        => 'root',
    mode         => '0440',
    validate_cmd => '/usr/sbin/visudo -cf %',
  }
}
