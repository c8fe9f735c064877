# @summary The program, its account, and the groups that read what it installs
# @api private
class certsync::install {
  if $certsync::binary {
    file { $certsync::path:
      ensure => file,
      source => $certsync::binary,
      owner  => 'root',
      group  => 'root',
      mode   => '0755',
      backup => false,
    }
    $program = File[$certsync::path]
  } elsif $certsync::package {
    package { $certsync::package:
      ensure => $certsync::package_ensure,
    }
    $program = Package[$certsync::package]
  } else {
    $program = undef
  }

  if $certsync::version {
    $asked = "certsync ${certsync::version}"
    $told = "\"\$(${certsync::path} --version)\""
    exec { "certsync is of version ${certsync::version}":
      command  => "echo \"${asked} is asked for, but ${certsync::path} is\" ${told} >&2; exit 1",
      unless   => "test ${told} = \"${asked}\"",
      path     => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
      provider => shell,
      require  => $program,
      before   => [Group[$certsync::group], User[$certsync::user]],
    }
  }

  group { $certsync::group:
    ensure => present,
    system => true,
  }

  # Another part of the site may have a group of readers as well, with a number of its own.
  keys($certsync::reader_groups).each |$group| {
    unless defined(Group[$group]) {
      group { $group:
        ensure => present,
        system => true,
      }
    }
  }

  user { $certsync::user:
    ensure     => present,
    gid        => $certsync::group,
    home       => $certsync::home,
    shell      => '/bin/sh',
    system     => true,
    managehome => true,
    require    => Group[$certsync::group],
  }

  # An account that was there already may have had another.
  exec { "certsync: make the home ${certsync::home}":
    command => ['install', '-d', '-o', $certsync::user, '-g', $certsync::group, '-m', '700', $certsync::home],
    creates => $certsync::home,
    path    => ['/usr/bin', '/bin'],
    require => User[$certsync::user],
  }

  $certsync::reader_groups.each |$group, $members| {
    $members.each |$member| {
      # The user belongs to whatever service it is of, so that only this membership is ours.
      exec { "${member} is in the group ${group}":
        command => ['usermod', '--append', '--groups', $group, $member],
        unless  => "id -nG ${member} | tr ' ' '\\n' | grep -qxF ${group}",
        path    => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
        require => Group[$group],
      }
      User <| title == $member |> -> Exec["${member} is in the group ${group}"]
    }
  }
}
