# frozen_string_literal: true

require 'puppet/parameter/boolean'

Puppet::Type.newtype(:certsync_apply) do
  @doc = <<-DOC
    @summary Makes this host what its certsync spec says.

    Asks `certsync plan` whether there is something to do and, if so, runs `certsync apply`. The resource is out of step exactly when
    there is something to do: a certificate was renewed, a file drifted, the spec changed, a hook is owed, or certsync has never run here.

    * With `--noop` nothing is changed; the event says what would be, and with `--show_diff` certsync's own difference is shown. It
      holds no byte of a private key. Where the spec itself is about to be changed by a `file` resource of the same catalog, the plan is made
      for its new content, not for the file that is there. Files that the spec includes are read as they are on the host.
    * A faulty spec fails the resource, with `--noop` as well, in certsync's words with file, line and column. So does a set that is refused,
      or a hook that fails; what could be done is done all the same, as by `certsync apply`.
    * Another certsync that is just running is waited for, up to a minute.
    * A `file` resource of the spec or of its folder, and a `package` or `file` resource of the program, are required automatically.
    * To be notified changes nothing: the resource looks for itself after everything that it requires, and does what there is to do.
      Let it notify others, or better: name a hook in the spec.

    @example Apply the spec that is there
      certsync_apply { '/etc/certsync/certsync.yaml': }

    @example A spec from Hiera
      file { '/etc/certsync/certsync.yaml':
        content => certsync::to_yaml(lookup('certsync_spec', Hash)),
        mode    => '0640',
      }
      -> certsync_apply { '/etc/certsync/certsync.yaml': }

    @example A replacement from another authority is dated earlier than the certificate it replaces
      certsync_apply { '/etc/certsync/certsync.yaml':
        accept => ['example.com=older'],
      }
  DOC

  newparam(:spec, namevar: true) do
    desc 'The spec file on the host, an absolute path. Relative paths in it start in its folder.'

    validate do |value|
      raise ArgumentError, "spec must be an absolute path, not #{value.inspect}" unless Puppet::Util.absolute_path?(value)
    end
  end

  newproperty(:ensure) do
    desc 'That the host is what the spec says. There is no other value; it need not be written.'

    newvalue(:applied)
    defaultto :applied

    def retrieve
      provider.state
    end

    def insync?(is)
      return true if is == :applied

      provider.show_plan if noop
      false
    end

    # What was renewed was not in step before either, and is no correction: only what somebody else changed is.
    def idempotent?
      provider.drift?
    end

    def sync
      provider.apply
    end

    # Puppet 8 asks for it with --noop as well.
    def change_to_s(current, _wanted)
      noop ? "to do: #{current}" : provider.outcome
    end

    def is_to_s(value) # rubocop:disable Naming/PredicateName
      value.to_s
    end

    def should_to_s(value)
      value.to_s
    end
  end

  newparam(:executable) do
    desc 'The program: an absolute path, or a name to be searched for in PATH. It may come with the same catalog.'

    defaultto 'certsync'

    validate do |value|
      next if value.is_a?(String) && (Puppet::Util.absolute_path?(value) || value.match?(%r{\A[^/\s-][^/\s]*\z}))

      raise ArgumentError, "executable must be an absolute path or a name, not #{value.inspect}"
    end
  end

  newparam(:state_dir) do
    desc "Where certsync keeps what it did last, an absolute path. By default certsync's own."

    validate do |value|
      raise ArgumentError, "state_dir must be an absolute path, not #{value.inspect}" unless Puppet::Util.absolute_path?(value)
    end
  end

  newparam(:as) do
    desc 'The name of this host in the spec. By default certsync finds it by the host name.'

    validate do |value|
      next if value.is_a?(String) && value.match?(%r{\A[^\s./-][^\s/]*\z})

      raise ArgumentError, "as must be the name of a server, not #{value.inspect}"
    end
  end

  newparam(:local, boolean: true, parent: Puppet::Parameter::Boolean) do
    desc <<-DESC
      Leave other hosts alone, so that one that is down does not make this one fail. Delivery belongs to the schedule
      and to the hook of the ACME client. An upstream that cannot be reached is a warning then. With `false`, a run that
      changes this host passes on as well; that a host below lacks something is no reason for a run.
    DESC

    defaultto true
  end

  newparam(:retry, boolean: true, parent: Puppet::Parameter::Boolean) do
    desc 'Try again what a failing check of a service took back, though nothing has changed since.'

    defaultto false
  end

  newparam(:verify_content, boolean: true, parent: Puppet::Parameter::Boolean) do
    desc 'Read every file, even where its time stamps say that nothing changed.'

    defaultto false
  end

  newparam(:accept) do
    desc 'Refusals to waive, each as `SET=WORD`, such as `example.com=older`: see `certsync apply --help` for the words.'

    defaultto { [] }

    munge { |value| Array(value).flatten }

    validate do |value|
      Array(value).flatten.each do |one|
        next if one.is_a?(String) && one.match?(%r{\A[^=-][^=]*=[a-z_]+\z})

        raise ArgumentError, "accept must be SET=WORD, not #{one.inspect}"
      end
    end
  end

  newparam(:show_diff, boolean: true, parent: Puppet::Parameter::Boolean) do
    desc <<-DESC
      Whether to show certsync's difference, with and without `--noop`. As with `file`, it is shown only if Puppet's own
      setting `show_diff` is on as well, as it is with `puppet agent --test`.
    DESC

    defaultto true
  end

  newparam(:timeout) do
    desc <<-DESC
      How many seconds certsync may take, for planning and for applying. When they are over it is ended, the resource
      fails, and the next run goes on where it was. A first run with many hooks, or one with `local => false` for a
      large fleet, may need more; 0 is without limit.
    DESC

    defaultto 300

    munge do |value|
      number = begin
        Float(value)
      rescue ArgumentError, TypeError
        raise ArgumentError, "timeout must be a number of seconds, not #{value.inspect}"
      end
      raise ArgumentError, 'timeout must not be negative' if number.negative?

      number
    end
  end

  autorequire(:file) do
    program = self[:executable]
    [self[:spec], File.dirname(self[:spec]), self[:state_dir], (program if Puppet::Util.absolute_path?(program))].compact
  end

  autorequire(:package) do
    [File.basename(self[:executable])]
  end
end
