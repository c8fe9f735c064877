# frozen_string_literal: true

require 'spec_helper'
require 'facter'

describe 'the fact certsync' do
  include Site

  let(:public_key) { 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkTNd/I+0gXXZi9zxBVGc1suwOYXucnYuBaRkRNcy5l' }

  # PATH holds the stub alone; the state directory is one of ours.
  def fact
    before = ENV.to_h
    ENV.update('PATH' => at('bin'), 'CERTSYNC_STATE_DIR' => @state || at('state'))
    Facter.clear
    Facter.add(:kernel) { has_weight(100) && setcode { 'Linux' } }
    load File.expand_path('../../../lib/facter/certsync.rb', __dir__)
    Facter.value(:certsync)
  ensure
    ENV.replace(before)
    Facter.clear
  end

  def stub(version: 'certsync 1.2.3', key: public_key)
    write('bin/certsync', <<~SH, 0o755)
      #!/bin/sh
      echo "$@" >>#{at('asked')}
      case $1 in --version) echo '#{version}';; keygen) echo '#{key}';; esac
    SH
  end

  def asked
    File.readlines(at('asked'), chomp: true)
  end

  it 'is nothing where there is no certsync' do
    FileUtils.mkdir_p(at('bin'))
    write('state/keys/id_ed25519', 'x')
    expect(fact).to be_nil
  end

  it 'tells the version, and makes no key' do
    stub
    expect(fact).to eq('version' => '1.2.3')
    expect(asked).to eq(['--version'])
  end

  it 'tells the public half of a key that is there' do
    stub
    write('state/keys/id_ed25519', 'never read', 0o600)
    expect(fact).to eq('version' => '1.2.3', 'public_key' => public_key)
    expect(asked).to eq(['--version', "keygen --quiet --state-dir #{at('state')}"])
  end

  it 'believes nothing that is no public key and no version' do
    write('state/keys/id_ed25519', 'x')
    ['', '-----BEGIN OPENSSH PRIVATE KEY-----', "#{public_key}\nmore", "x\n#{public_key}"].each do |key|
      stub(key: key, version: 'another program')
      expect(fact).to be_nil, key
    end
  end

  it 'puts no strange path into a command line' do
    stub
    @state = at('a $(touch b)')
    write('a $(touch b)/keys/id_ed25519', 'x')
    expect(fact).to eq('version' => '1.2.3')
  end

  it 'asks certsync itself, and changes nothing', :site do
    FileUtils.mkdir_p(at('bin'))
    FileUtils.ln_s(Site.program, at('bin/certsync'))
    expect(fact.keys).to eq(['version'])
    expect(File.exist?(at('state'))).to be(false)
    made = certsync('keygen').strip
    before = tree
    expect(fact).to eq('version' => certsync('--version').split.last, 'public_key' => made)
    expect(tree).to eq(before)
  end
end
