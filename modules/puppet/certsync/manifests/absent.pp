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

  exec { 'certsync: sshd reads its configuration anew':
    command     => $certsync::sshd_reload,
    path        => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    refreshonly => true,
  }

  exec { 'certsync: take its state away; installed certificates stay where they are':
    command => ['rm', '-rf', '--', $certsync::state_dir],
    onlyif  => "test -e ${certsync::state_dir}",
    path    => ['/usr/bin', '/bin'],
    require => Certsync::Unit['certsync', 'certsync-inbox'],
  }

  $folder = regsubst($certsync::spec_path, '/[^/]+\z', '')
  exec { "certsync: take ${folder} away, which is empty":
    command  => "rmdir ${folder}",
    onlyif   => "test -d ${folder} && test -z \"$(ls -A ${folder})\"",
    path     => ['/usr/bin', '/bin'],
    provider => shell,
    require  => File[$certsync::spec_path],
  }

  user { $certsync::user:
    ensure     => absent,
    managehome => true,
    require    => Exec['certsync: sshd reads its configuration anew'],
  }

  group { $certsync::group:
    ensure  => absent,
    require => User[$certsync::user],
  }

  if $certsync::binary {
    file { $certsync::path:
      ensure  => absent,
      backup  => false,
      require => Certsync::Unit['certsync', 'certsync-inbox'],
    }
  } elsif $certsync::package {
    package { $certsync::package:
      ensure  => absent,
      require => Certsync::Unit['certsync', 'certsync-inbox'],
    }
  }
}
