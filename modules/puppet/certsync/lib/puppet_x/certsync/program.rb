# frozen_string_literal: true

require 'tempfile'

module PuppetX; end unless defined?(PuppetX)
module PuppetX::Certsync; end unless defined?(PuppetX::Certsync)

# The certsync program, as a process.
#
# Puppet's own Execution throws away what a command says on stderr, or mixes it into its answer. Here the two are kept apart: where there is
# no answer, stderr tells why.
class PuppetX::Certsync::Program
  # What one run came to.
  Answer = Struct.new(:status, :stdout, :stderr)

  # It did not end in time.
  class TooLong < Puppet::Error; end

  # How long it may take to end after it was asked to, in seconds.
  GRACE = 10

  # @param name [String] an absolute path, or a name to be searched for in PATH
  # @return [String, nil] the path of the program, where there is one
  def self.find(name)
    Puppet::Util.which(name)
  end

  # @param path [String] the program
  # @param timeout [Numeric] how many seconds a run may take; 0 is without limit
  def initialize(path, timeout)
    @path = path
    @timeout = timeout
  end

  # Runs it without a shell, in a process group of its own.
  #
  # @param arguments [Array<String>]
  # @param input [String] the file that it reads as stdin
  # @return [Answer]
  # @raise [Puppet::Error] where it cannot be started, or does not end in time
  def run(arguments, input: File::NULL)
    Puppet.debug { "Executing: '#{[@path, *arguments].join(' ')}'" }
    kept do |stdout, stderr|
      status = wait(start(arguments, in: input, out: stdout.path, err: stderr.path), arguments.first)
      answer = Answer.new(status.exitstatus || "signal #{status.termsig}", read(stdout), read(stderr))
      Puppet.debug { "certsync #{arguments.first} ended with #{answer.status}" }
      answer
    end
  end

  private

  def start(arguments, streams)
    # Each path is opened anew; the temporary files are there already, and readable to nobody else.
    redirected = streams.map { |name, path| [name, name == :in ? path : [path, File::WRONLY | File::TRUNC]] }.to_h
    Process.spawn([@path, @path], *arguments, redirected.merge(pgroup: true, chdir: '/', umask: 0o022))
  rescue SystemCallError => e
    raise Puppet::Error, "#{@path} cannot be started: #{e.message}"
  end

  def wait(pid, command)
    ended = false
    waiter = Process.detach(pid)
    ended = waiter.join(@timeout.zero? ? nil : @timeout)
    return waiter.value if ended

    raise TooLong, "certsync #{command} did not end within #{format('%g', @timeout)} seconds"
  ensure
    # Also where Puppet itself is told to stop: nothing goes on behind its back.
    finish(pid, waiter) if waiter && !ended
  end

  def finish(pid, waiter)
    ['TERM', 'KILL'].each do |signal|
      Process.kill(signal, -pid)
      return if waiter.join(GRACE)
    end
  rescue Errno::ESRCH
    # It has just ended.
  end

  def kept
    files = [Tempfile.new('certsync'), Tempfile.new('certsync')]
    yield(*files)
  ensure
    files.each(&:close!) if files
  end

  def read(file)
    File.read(file.path, mode: 'rb').force_encoding(Encoding::UTF_8).scrub
  end
end
