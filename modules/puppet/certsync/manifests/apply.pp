# @summary Applies the spec to the host; what is told to others of it; whether others can come in
# @api private
class certsync::apply {
  if $certsync::apply {
    certsync_apply { $certsync::spec_path:
      executable => $certsync::path,
      state_dir  => $certsync::state_dir,
      as         => $certsync::server_name,
      accept     => $certsync::accept,
      show_diff  => $certsync::show_diff,
      timeout    => $certsync::apply_timeout,
    }
  }

  if $certsync::known_hosts {
    $tell = "${certsync::path} known-hosts --spec ${certsync::spec_path} --state-dir ${certsync::state_dir}${certsync::as} --write"
    # It keeps other lines, so that what would be is known from a copy alone.
    $copy = "copy=\$(mktemp -d) && trap 'rm -rf \"\$copy\"' EXIT && cp ${certsync::known_hosts} \"\$copy/then\""
    exec { "certsync known-hosts in ${certsync::known_hosts}":
      command  => "${tell} ${certsync::known_hosts}",
      unless   => "${copy} && ${tell} \"\$copy/then\" && cmp -s ${certsync::known_hosts} \"\$copy/then\"",
      path     => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
      provider => shell,
    }
  }

  # A site's own sshd_config may include no other file: nobody would come in, and nothing would say so. Last, since
  # the rest is right all the same.
  if $certsync::gate {
    $ask = "told=\"$(/usr/sbin/sshd -T -C user=${certsync::user},host=localhost,addr=127.0.0.1 2>/dev/null)\" || exit 0"
    exec { 'certsync: sshd asks certsync':
      command  => "echo \"sshd does not heed ${certsync::sshd_config}: have its sshd_config include that file\" >&2; exit 1",
      unless   => "${ask}; echo \"\$told\" | grep -q '^authorizedkeyscommand ${certsync::path} '",
      path     => ['/usr/bin', '/bin'],
      provider => shell,
    }
  }
}
