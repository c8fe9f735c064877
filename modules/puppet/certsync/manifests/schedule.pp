# @summary What runs certsync by itself: cron or a timer, what came from elsewhere, and certbot
# @api private
class certsync::schedule {
  $cron = $certsync::scheduler ? { 'cron' => file, default => absent }
  file { '/etc/cron.d/certsync':
    ensure  => $cron,
    content => epp('certsync/cron.epp'),
    owner   => 'root',
    group   => 'root',
    mode    => '0644',
  }

  $timer = $certsync::scheduler ? { 'timer' => present, default => absent }
  $inbox = [$certsync::gate, $certsync::privilege] ? { [true, 'path_unit'] => present, default => absent }
  certsync::unit { 'certsync':
    ensure => $timer,
    kind   => 'timer',
  }
  certsync::unit { 'certsync-inbox':
    ensure => $inbox,
    kind   => 'path',
  }

  ['post', 'deploy'].each |$hook| {
    $folder = "/etc/letsencrypt/renewal-hooks/${hook}"
    $script = "${folder}/certsync"
    if $certsync::certbot_hook == $hook {
      exec { "certsync: the folder of certbot's ${hook} hooks":
        command => ['install', '-d', '-m', '755', $folder],
        creates => $folder,
        path    => ['/usr/bin', '/bin'],
        before  => File[$script],
      }
      $wanted = file
    } else {
      $wanted = absent
    }
    file { $script:
      ensure  => $wanted,
      content => epp('certsync/certbot-hook.epp'),
      owner   => 'root',
      group   => 'root',
      mode    => '0755',
    }
  }
}
