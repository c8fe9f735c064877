# frozen_string_literal: true

# What facter tells on the hosts that the module is for.
module Hosts
  module_function

  def debian
    of('debian', 'Debian', 'Debian', '12')
  end

  def red_hat
    of('redhat', 'RedHat', 'RedHat', '9')
  end

  def of(id, name, family, major)
    {
      kernel: 'Linux',
      osfamily: family,
      operatingsystem: name,
      os: { 'name' => name, 'family' => family, 'release' => { 'major' => major, 'full' => "#{major}.1" }, 'distro' => { 'id' => id } },
      path: '/usr/sbin:/usr/bin:/sbin:/bin',
    }
  end
end
