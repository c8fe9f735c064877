# frozen_string_literal: true

# @summary What certsync is on this host: its version, and the public half of the host's own key
#
# `certsync.version` is what `certsync --version` tells of the program in PATH. `certsync.public_key` is for `public_key` of this host in the
# spec; it is told by `certsync keygen`, which only answers where there is a key, and is asked only then. The private half is not read here.
#
# The key is looked for in the state directory /var/lib/certsync. A fact cannot know the parameters of a class: a site with another
# state directory sets CERTSYNC_STATE_DIR in the agent's environment (/etc/default/puppet, /etc/sysconfig/puppet), where certsync itself
# finds it as well.
Facter.add(:certsync) do
  confine kernel: 'Linux'

  setcode do
    program = Facter::Core::Execution.which('certsync')
    # Nothing but these characters is put into a command line.
    word = %r{\A(/[\w.+@-]+)+\z}
    ask = lambda do |arguments|
      Facter::Core::Execution.execute("#{program} #{arguments}", on_fail: '', timeout: 10).to_s.strip
    end

    facts = {}
    if program&.match?(word)
      version = ask.call('--version')[%r{\Acertsync (\S+)\z}, 1]
      facts['version'] = version if version

      state_dir = ENV.fetch('CERTSYNC_STATE_DIR', '/var/lib/certsync')
      key = File.join(state_dir, 'keys', 'id_ed25519')
      if state_dir.match?(word) && File.file?(key) && File.readable?(key)
        public_key = ask.call("keygen --quiet --state-dir #{state_dir}")
        facts['public_key'] = public_key if public_key.match?(%r{\Assh-[a-z0-9-]+ [A-Za-z0-9+/]+=*\z})
      end
    end
    facts unless facts.empty?
  end
end
