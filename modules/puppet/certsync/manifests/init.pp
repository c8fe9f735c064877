# @summary Brings TLS certificates to a host with certsync
#
# Installs the program, makes its account, writes the spec, lets in the hosts that the spec names, schedules certsync and applies the spec.
# Delivery to other hosts belongs to the schedule and the hook of the ACME client, so that a host that is down does not make another one's
# run fail.
#
# The private half of the host's key pair is made on the host and never leaves it; the fact `certsync.public_key` tells the public one.
#
# @example One certificate set from certbot for nginx, on the host itself
#   class { 'certsync':
#     gate => false,
#     spec => {
#       'version' => 1,
#       'hooks'   => { 'nginx' => { 'check' => ['nginx', '-t'], 'run' => ['systemctl', 'try-reload-or-restart', 'nginx'] } },
#       'certs'   => {
#         'www.example.com' => {
#           'source'  => '/etc/letsencrypt/live/www.example.com',
#           'install' => { 'dest' => '/etc/nginx/tls', 'hooks' => ['nginx'] },
#         },
#       },
#     },
#   }
#
# @example All of it from Hiera
#   include certsync
#
# @param ensure
#   With `absent`, all that the class made is taken away; installed certificates and the groups of `reader_groups` stay in place. So does an
#   account that is not like the one that the class makes, and whatever else lies in the state directory.
# @param binary
#   A certsync program to be copied to `path`: a path on the host, or a URL such as `puppet:///modules/profile/certsync`. Takes precedence
#   over `package`.
# @param package
#   The name of a package that has certsync. With neither, `path` is expected to be there.
# @param package_ensure
#   The state or the version of the package, as the resource `package` has it.
# @param path
#   Where the program is on the host.
# @param version
#   The version that is asked for, as `certsync --version` tells it. A host with another one fails before anything else is changed.
# @param user
#   The account that other hosts log in to. It is `user` of the servers in the spec.
# @param group
#   Its group, which may read the spec. It is `gate_group` in the spec.
# @param home
#   The home of the account.
# @param reader_groups
#   Groups that installed files belong to, each with the users that are to be in it, beside those that are. A group that the catalogue has
#   already is left as it is there.
# @param spec
#   The spec, as a structure. It replaces the file only if `certsync validate` finds nothing wrong with it. Without it, the file is left to
#   others.
# @param spec_path
#   Where the spec is on the host, in a folder of its own.
# @param state_dir
#   Where certsync keeps what it did last. On a host that is up already, move the directory before you change this: with a new one the host
#   has a new key, and certsync does not touch what another state directory manages.
# @param server_name
#   The name of the host in the spec. By default certsync finds it by the host name.
# @param show_diff
#   Whether the differences of the spec and of what is installed may be logged, where Puppet's own `show_diff` is on. They hold no byte of a
#   private key.
# @param gate
#   Whether other hosts may log in, each with the key and to the extent that the spec says. Only where the spec has `servers`.
# @param sshd_config
#   The file that tells sshd to ask certsync whether a key may come in. A run fails where sshd's own configuration does not include it.
#   Where that has `AllowUsers` or `AllowGroups`, they have to name the account.
# @param sshd_reload
#   The command that has sshd read its configuration anew.
# @param privilege
#   How what the account got is applied by root. With `none`, by the next scheduled run.
# @param remote_plan
#   Whether a host above may have this one plan (`certsync plan --remote`). With `privilege` `sudo` only; it adds a second rule.
# @param known_hosts
#   A known_hosts file that is to have the host keys of the spec, for other programs. certsync itself needs none. Where this is unset later,
#   the file keeps its lines.
# @param scheduler
#   What runs certsync again and again.
# @param interval
#   Minutes between two runs: what an hour or a day is a multiple of.
# @param splay
#   A run waits a time below this one that is fixed by the host's name.
# @param certbot_hook
#   On the origin. `post` runs certsync once after certbot has renewed anything, `deploy` once for each certificate.
# @param apply
#   `false` makes everything ready and applies nothing.
# @param apply_timeout
#   How many seconds this run may take; 0 is without limit.
# @param accept
#   Refusals that are waived, as `SET=WORD`, such as `example.com=older`.
class certsync (
  Enum['present', 'absent'] $ensure,
  Certsync::Path $path,
  String[1] $package_ensure,
  Certsync::Name $user,
  Certsync::Name $group,
  Certsync::Path $home,
  Hash[Certsync::Name, Array[Certsync::Name]] $reader_groups,
  Certsync::Spec_path $spec_path,
  Certsync::Path $state_dir,
  Boolean $show_diff,
  Boolean $gate,
  Certsync::Path $sshd_config,
  Array[String[1], 1] $sshd_reload,
  Enum['sudo', 'path_unit', 'none'] $privilege,
  Boolean $remote_plan,
  Enum['cron', 'timer', 'none'] $scheduler,
  Certsync::Interval $interval,
  Certsync::Duration $splay,
  Enum['none', 'post', 'deploy'] $certbot_hook,
  Boolean $apply,
  Integer[0] $apply_timeout,
  Array[Certsync::Waiver] $accept,
  Optional[Certsync::Source] $binary = undef,
  Optional[String[1]] $package = undef,
  Optional[String[1]] $version = undef,
  Optional[Hash[String[1], Data, 1]] $spec = undef,
  Optional[Certsync::Name] $server_name = undef,
  Optional[Certsync::Path] $known_hosts = undef,
) {
  # What every command line of this host ends in.
  $as = $server_name ? { undef => '', default => " --as ${server_name}" }
  $place = "--state-dir ${state_dir}${as} ${spec_path}"
  $folder = regsubst($spec_path, '/[^/]+\z', '')

  # Whether its file came, changed or went.
  exec { 'certsync: sshd reads its configuration anew':
    command     => $sshd_reload,
    path        => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    refreshonly => true,
  }

  if $ensure == 'absent' {
    contain certsync::absent
  } else {
    contain certsync::install
    contain certsync::config
    contain certsync::keys
    contain certsync::schedule
    contain certsync::apply

    # What fails now is tried again by the schedule, so that this stands before.
    Class['certsync::install']
    -> Class['certsync::config']
    -> Class['certsync::keys']
    -> Class['certsync::schedule']
    -> Class['certsync::apply']
  }
}
