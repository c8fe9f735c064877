# A site that keeps the spec by itself and wants none of the module's own types: certsync runs exactly when it has something to do.
#
# Under --noop this says that something would be done, but not what, and a faulty spec looks the same; `certsync_apply` tells them apart.
file { '/etc/certsync':
  ensure => directory,
  mode   => '0750',
}

file { '/etc/certsync/certsync.yaml':
  content      => file('/srv/site/certsync.yaml'),
  mode         => '0640',
  validate_cmd => '/usr/bin/certsync validate - --at /etc/certsync/certsync.yaml < %',
}

exec { 'certsync apply':
  command => ['/usr/bin/certsync', 'apply', '--local', '--quiet', '/etc/certsync/certsync.yaml'],
  unless  => [['/usr/bin/certsync', 'plan', '--detailed-exitcode', '--quiet', '/etc/certsync/certsync.yaml']],
  # A first delivery waits for the hosts above; hooks restart services.
  timeout => 900,
  require => File['/etc/certsync/certsync.yaml'],
}
