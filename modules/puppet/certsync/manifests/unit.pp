# @summary A service of systemd, and the timer or path unit that starts it
#
# Without a running systemd it can be absent only.
#
# @api private
#
# @param kind
#   What starts the service.
# @param ensure
#   Whether they are there.
define certsync::unit (
  Enum['timer', 'path'] $kind,
  Enum['present', 'absent'] $ensure = 'present',
) {
  $starter = "${name}.${kind}"
  $units = ["${name}.service", $starter]
  $paths = $units.map |$unit| { "/etc/systemd/system/${unit}" }

  if $ensure == 'present' {
    $units.each |$unit| {
      file { "/etc/systemd/system/${unit}":
        ensure  => file,
        content => epp("certsync/${unit}.epp"),
        owner   => 'root',
        group   => 'root',
        mode    => '0644',
        notify  => Exec["certsync: systemd reads ${name} anew"],
      }
    }
    service { $starter:
      ensure    => running,
      enable    => true,
      provider  => systemd,
      subscribe => [File["/etc/systemd/system/${starter}"], Exec["certsync: systemd reads ${name} anew"]],
    }
  } else {
    # While its unit is still there, so that the links which enable it go as well.
    # A run that waits for its moment goes with it, and one that has failed is not remembered.
    exec { "certsync: stop ${starter}":
      command  => "systemctl disable --now ${starter} && systemctl stop ${name}.service && systemctl reset-failed '${name}.*'",
      onlyif   => "test -e /etc/systemd/system/${starter}",
      path     => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
      provider => shell,
      before   => File[$paths],
    }
    file { $paths:
      ensure => absent,
      notify => Exec["certsync: systemd reads ${name} anew"],
    }
  }

  exec { "certsync: systemd reads ${name} anew":
    command     => ['systemctl', 'daemon-reload'],
    path        => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    refreshonly => true,
  }
}
