# nginx on a bare Debian 12, served by certsync from what certbot leaves. From the top of a checkout in which certsync has been built:
#
#     FACTER_certsync_binary=$PWD/target/release/certsync puppet apply --modulepath modules/puppet modules/puppet/certsync/examples/init.pp
package { ['cron', 'nginx-light', 'openssl', 'sudo']:
  ensure => installed,
  before => Class['certsync'],
}

# Stands for certbot.
exec { 'a certificate for www.example.com':
  command  => @(SHELL/L),
    mkdir -p -m 700 /etc/letsencrypt/live/www.example.com && cd /etc/letsencrypt/live/www.example.com &&
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=www.example.com \
      -addext subjectAltName=DNS:www.example.com -keyout privkey.pem -out fullchain.pem &&
    cp fullchain.pem cert.pem
    |- SHELL
  creates  => '/etc/letsencrypt/live/www.example.com/cert.pem',
  path     => ['/usr/bin', '/bin'],
  provider => shell,
  require  => Package['openssl'],
  before   => Class['certsync'],
}

class { 'certsync':
  binary        => $facts['certsync_binary'],
  gate          => false,
  certbot_hook  => 'deploy',
  reader_groups => { 'ssl' => ['www-data'] },
  spec          => {
    'version' => 1,
    'hooks'   => {
      'nginx' => {
        'check' => ['nginx', '-t'],
        'run'   => ['systemctl', 'try-reload-or-restart', 'nginx'],
      },
    },
    'certs'   => {
      'www.example.com' => {
        'source'  => '/etc/letsencrypt/live/www.example.com',
        'install' => {
          'dest'     => '/etc/nginx/tls/www.example.com',
          'group'    => 'ssl',
          'key_mode' => '-rw-r-----',
          'hooks'    => ['nginx'],
        },
      },
    },
  },
}
