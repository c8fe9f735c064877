# @summary Applies the spec to the host
# @api private
class certsync::apply {
  if $certsync::apply {
    certsync_apply { $certsync::spec_path:
      executable => $certsync::path,
      state_dir  => $certsync::state_dir,
      as         => $certsync::server_name,
      accept     => $certsync::accept,
      show_diff  => $certsync::show_diff,
      timeout    => $certsync::apply_timeout,
    }
  }
}
