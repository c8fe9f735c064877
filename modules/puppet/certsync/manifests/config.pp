# @summary The spec
# @api private
class certsync::config {
  file { $certsync::folder:
    ensure => directory,
    owner  => 'root',
    group  => $certsync::group,
    mode   => '0750',
  }

  if $certsync::spec {
    # Relative paths in a spec start in its folder, so that it is judged as what it will be and not where Puppet has put it for the moment.
    file { $certsync::spec_path:
      ensure       => file,
      content      => certsync::to_yaml($certsync::spec),
      owner        => 'root',
      group        => $certsync::group,
      mode         => '0640',
      show_diff    => $certsync::show_diff,
      validate_cmd => "${certsync::path} validate - --at ${certsync::spec_path} --state-dir ${certsync::state_dir}${certsync::as} < %",
    }
  }
}
