# frozen_string_literal: true

require 'fileutils'
require 'json'
require 'open3'
require 'openssl'
require 'tmpdir'
require 'puppet'

module Puppet
  module Test
    # The name by which Puppet knows that a log is to be collected.
    class LogCollector
      def initialize(logs)
        @logs = logs
      end

      def <<(log)
        @logs << log
      end
    end
  end
end

# A small host in a temporary directory: a spec, a source with a certificate, and catalogues that are applied to it.
module Site
  # What came of applying a catalogue.
  Applied = Struct.new(:status, :logs) do
    def events
      status.events.map { |event| [event.status, event.message] }
    end

    def at(level)
      logs.select { |log| log.level == level }.map(&:message)
    end

    def text
      logs.map { |log| "#{log.level} #{log.source} #{log.message}" }.join("\n")
    end
  end

  def self.program
    found = ENV.fetch('CERTSYNC_TEST_PROGRAM', nil)
    found && File.expand_path(found)
  end

  def dir
    @dir ||= Dir.mktmpdir('certsync-rspec').tap { |made| @made = made }
  end

  def self.included(group)
    group.after { FileUtils.remove_entry(@made) if @made }
  end

  def at(*names)
    File.join(dir, *names)
  end

  def write(name, text, mode = 0o644)
    FileUtils.mkdir_p(File.dirname(at(name)))
    File.write(at(name), text)
    File.chmod(mode, at(name))
    at(name)
  end

  # A new certificate and its key in src/NAME, which began some days ago.
  def issue(name = 'www.example.com', age: 0)
    key = OpenSSL::PKey::EC.generate('prime256v1')
    certificate = OpenSSL::X509::Certificate.new
    certificate.version = 2
    certificate.serial = rand(1 << 100)
    certificate.subject = certificate.issuer = OpenSSL::X509::Name.parse("/CN=#{name}")
    certificate.public_key = key
    certificate.not_before = Time.now - (age * 86_400) - 60
    # No whole number of days: what is left is told in days, and may not turn while a test runs.
    certificate.not_after = Time.now + (60 * 86_400) + 43_200
    certificate.add_extension(OpenSSL::X509::ExtensionFactory.new(nil, certificate).create_extension('subjectAltName', "DNS:#{name}"))
    certificate.sign(key, OpenSSL::Digest.new('SHA256'))
    write("src/#{name}/fullchain.pem", certificate.to_pem)
    write("src/#{name}/privkey.pem", key.to_pem, 0o600)
    key.to_pem
  end

  # One set, whose hook leaves a word; `more` is added to its install.
  def spec(more: '', run: "echo ran >>#{at('log')}", name: 'www.example.com')
    <<~YAML
      version: 1
      hooks:
        count: { run: [sh, -c, '#{run}'] }
      certs:
        #{name}:
          source: src/#{name}
          install: { dest: #{at('dest', name)}, hooks: [count]#{more} }
    YAML
  end

  def write_spec(text = spec)
    write('certsync.yaml', text, 0o640)
  end

  # The resource, and the others of the catalogue; the settings of the run; what came of it.
  def apply(others = [], settings: {}, **parameters)
    logs = []
    destination = Puppet::Test::LogCollector.new(logs)
    level = Puppet::Util::Log.level
    Puppet::Util::Log.level = :debug
    Puppet::Util::Log.newdestination(destination)
    set_up(settings)
    catalog = Puppet::Resource::Catalog.new('host', Puppet.lookup(:current_environment))
    catalog.host_config = true
    resource = certsync_apply(**parameters)
    catalog.add_resource(*others, resource)
    status = catalog.apply.report.resource_statuses[resource.ref]
    Applied.new(status, logs)
  ensure
    Puppet::Util::Log.close(destination)
    Puppet::Util::Log.level = level
  end

  def certsync_apply(**parameters)
    usual = { title: at('certsync.yaml'), executable: Site.program || '/nowhere/certsync', state_dir: at('state') }
    Puppet::Type.type(:certsync_apply).new(usual.merge(parameters).compact)
  end

  def file(**parameters)
    Puppet::Type.type(:file).new(title: at('certsync.yaml'), backup: false, **parameters)
  end

  # What Puppet remembers from run to run lies in the directory as well.
  def set_up(settings)
    FileUtils.mkdir_p(at('puppet'))
    Puppet[:statedir] = at('puppet')
    Puppet[:statefile] = at('puppet', 'state.yaml')
    Puppet[:transactionstorefile] = at('puppet', 'transactionstore.yaml')
    Puppet[:noop] = Puppet[:show_diff] = false
    settings.each { |name, value| Puppet[name] = value }
  end

  # The message of an event under noop, which Puppet 8 has let the type write.
  def due(words)
    Puppet.version.to_i < 8 ? "current_value #{words}, should be applied (noop)" : "to do: #{words} (noop)"
  end

  # Waits until it is so.
  def await
    deadline = Time.now + 60
    sleep 0.02 until yield || Time.now > deadline
    expect(yield).to be_truthy
  end

  # Whether a process has ended, waited for or not.
  def gone?(pid)
    File.read("/proc/#{pid}/stat").include?(') Z ')
  rescue SystemCallError
    true
  end

  # What certsync itself answers.
  def certsync(*arguments)
    Open3.capture2e(Site.program, *arguments, '--state-dir', at('state')).first
  end

  # Everything that a run could change, with contents and times.
  def tree
    ['dest', 'state', 'src', 'certsync.yaml', 'log'].flat_map { |name| Dir.glob(at(name, '**', '*'), File::FNM_DOTMATCH) + [at(name)] }
                                                    .select { |path| File.symlink?(path) || File.exist?(path) }.uniq.sort.map do |path|
      stat = File.lstat(path)
      [path, stat.mode, stat.uid, stat.gid, stat.ino, stat.mtime, (File.binread(path) if stat.file?), (File.readlink(path) if stat.symlink?)]
    end
  end

  def installed(name = 'www.example.com')
    File.read(at('dest', name, 'fullchain.pem'))
  end

  # How often the hook has run.
  def runs
    File.exist?(at('log')) ? File.readlines(at('log')).size : 0
  end
end
