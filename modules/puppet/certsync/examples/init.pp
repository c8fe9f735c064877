# One certificate set from certbot for nginx, on the host itself:
#
#     puppet apply --modulepath ../.. examples/init.pp
class { 'certsync':
  gate => false,
  spec => {
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
        'install' => { 'dest' => '/etc/nginx/tls', 'hooks' => ['nginx'] },
      },
    },
  },
}
