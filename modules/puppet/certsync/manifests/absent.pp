# @summary Takes away what the class made, but for installed certificates and the groups that read them
# @api private
class certsync::absent {
  certsync::unit {
    default:
      ensure => absent;
    'certsync':
      kind => 'timer';
    'certsync-inbox':
      kind => 'path';
  }

  # No copy is kept of any of it: there are keys in the state.
  file {
    default:
      ensure => absent,
      backup => false;
    [
      '/etc/cron.d/certsync',
      '/etc/letsencrypt/renewal-hooks/post/certsync',
      '/etc/letsencrypt/renewal-hooks/deploy/certsync',
      '/etc/sudoers.d/certsync',
      $certsync::spec_path,
    ]:;
    $certsync::sshd_config:
      notify => Exec['certsync: sshd reads its configuration anew'];
  }

  # It takes its own things away, and nothing else that lies there; a run that is going on is waited for.
  $ours = ['state.json', 'run.lock', 'keys/id_ed25519'].map |$name| { "-e ${certsync::state_dir}/${name}" }
  exec { 'certsync: take its state away; installed certificates stay where they are':
    command  => "${certsync::path} forget ${certsync::state_dir}",
    onlyif   => "test -x ${certsync::path} && test ${join($ours, ' -o ')}",
    path     => ['/usr/bin', '/bin'],
    provider => shell,
    require  => Certsync::Unit['certsync', 'certsync-inbox'],
  }

  exec { "certsync: take ${certsync::folder} away, which is empty":
    command  => "rmdir ${certsync::folder}",
    onlyif   => "test -d ${certsync::folder} && test -z \"$(ls -A ${certsync::folder})\"",
    path     => ['/usr/bin', '/bin'],
    provider => shell,
    require  => File[$certsync::spec_path],
  }

  if $certsync::known_hosts {
    exec { "certsync: take its lines out of ${certsync::known_hosts}":
      command => ['sed', '-i', '/^# BEGIN certsync/,/^# END certsync/d', $certsync::known_hosts],
      onlyif  => [['grep', '-qs', '^# BEGIN certsync', $certsync::known_hosts]],
      path    => ['/usr/bin', '/bin'],
    }
  }

  # Only an account like the one that was made here: a system's, with this home and this shell. Of its home goes what useradd put there.
  $account = "^${certsync::user}:[^:]*:[1-9][0-9][0-9]:[^:]*:[^:]*:${certsync::home}:/bin/sh$"
  exec { "certsync: take the account ${certsync::user} away":
    command  => @("SHELL"/L$),
      # Who is logged in at the moment is not waited for.
      for try in 1 2 3 4 5; do pkill -KILL -u ${certsync::user}; userdel ${certsync::user} && break; sleep 1; done
      ! getent passwd ${certsync::user} >/dev/null || exit 1
      cd ${certsync::home} 2>/dev/null || exit 0
      for file in \$(ls -A /etc/skel); do cmp -s /etc/skel/\$file \$file && rm -f -- \$file; done
      cd /; rmdir ${certsync::home} 2>/dev/null; true
      |- SHELL
    onlyif   => "getent passwd ${certsync::user} | grep -q '${account}'",
    path     => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    provider => shell,
    require  => Exec[
      'certsync: sshd reads its configuration anew',
      'certsync: take its state away; installed certificates stay where they are'
    ],
  }

  # Nor is a group taken away that anybody else is in.
  $alone = "getent group ${certsync::group} | grep -q '^[^:]*:[^:]*:[1-9][0-9][0-9]:$'"
  $gid = "$(getent group ${certsync::group} | cut -d: -f3)"
  exec { "certsync: take the group ${certsync::group} away":
    command  => "groupdel ${certsync::group}",
    onlyif   => "${alone} && ! getent passwd | cut -d: -f4 | grep -qx \"${gid}\"",
    path     => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    provider => shell,
    require  => Exec["certsync: take the account ${certsync::user} away"],
  }

  $last = Exec['certsync: take its state away; installed certificates stay where they are']
  if $certsync::binary {
    file { $certsync::path:
      ensure  => absent,
      backup  => false,
      require => $last,
    }
  } elsif $certsync::package {
    package { $certsync::package:
      ensure  => absent,
      require => $last,
    }
  }
}
