# frozen_string_literal: true

require 'spec_helper'

describe Puppet::Type.type(:certsync_apply) do
  def made(**parameters)
    described_class.new(title: '/etc/certsync/certsync.yaml', **parameters)
  end

  it 'needs nothing but the path of the spec' do
    resource = made
    expect(resource[:spec]).to eq('/etc/certsync/certsync.yaml')
    expect(resource[:ensure]).to eq(:applied)
    expect([:executable, :local, :accept, :show_diff, :timeout].to_h { |name| [name, resource[name]] }).to eq(
      executable: 'certsync', local: true, accept: [], show_diff: true, timeout: 300,
    )
    expect([:retry, :verify_content, :state_dir, :as].map { |name| resource[name] }).to all(be_falsey)
  end

  it 'takes every parameter' do
    resource = made(executable: '/opt/certsync', state_dir: '/srv/state', as: 'web1', local: false, retry: true, verify_content: 'true',
                    accept: ['a=older', 'b.example=expired'], show_diff: false, timeout: '12.5')
    expect(resource[:accept]).to eq(['a=older', 'b.example=expired'])
    expect(resource[:verify_content]).to be(true)
    expect(resource[:timeout]).to eq(12.5)
    expect(made(accept: 'a=older')[:accept]).to eq(['a=older'])
    expect(made(timeout: 0)[:timeout]).to eq(0)
  end

  {
    'a relative spec' => [{ spec: 'certsync.yaml' }, 'spec must be an absolute path'],
    'stdin as the spec' => [{ spec: '-' }, 'spec must be an absolute path'],
    'a relative program' => [{ executable: './certsync' }, 'executable must be an absolute path or a name'],
    'a program that is an option' => [{ executable: '-c' }, 'executable must be an absolute path or a name'],
    'a program with arguments' => [{ executable: 'sudo certsync' }, 'executable must be an absolute path or a name'],
    'a relative state directory' => [{ state_dir: 'state' }, 'state_dir must be an absolute path'],
    'a name that is an option' => [{ as: '--offline' }, 'as must be the name of a server'],
    'an empty name' => [{ as: '' }, 'as must be the name of a server'],
    'a waiver without a word' => [{ accept: ['example.com'] }, 'accept must be SET=WORD'],
    'a waiver that is an option' => [{ accept: ['--help=x'] }, 'accept must be SET=WORD'],
    'a negative time' => [{ timeout: -1 }, 'timeout must not be negative'],
    'a time in words' => [{ timeout: 'long' }, 'timeout must be a number of seconds'],
    'a word for a boolean' => [{ local: 'perhaps' }, 'perhaps'],
    'another state' => [{ ensure: :absent }, 'Invalid value'],
  }.each do |what, (parameters, words)|
    it "refuses #{what}" do
      expect { described_class.new({ title: '/etc/certsync/certsync.yaml' }.merge(parameters)) }.to raise_error(Puppet::Error, %r{#{Regexp.escape(words)}})
    end
  end

  it 'comes after the spec, its folder, its state directory and the program' do
    catalog = Puppet::Resource::Catalog.new
    files = ['/etc/certsync', '/etc/certsync/certsync.yaml', '/var/lib/certsync', '/usr/bin/certsync', '/etc/other']
    files.each { |path| catalog.add_resource(Puppet::Type.type(:file).new(title: path)) }
    catalog.add_resource(Puppet::Type.type(:package).new(title: 'certsync', provider: 'apt'))
    resource = made(executable: '/usr/bin/certsync', state_dir: '/var/lib/certsync')
    catalog.add_resource(resource)
    expect(resource.autorequire.map { |edge| edge.source.ref }).to contain_exactly(
      'File[/etc/certsync]', 'File[/etc/certsync/certsync.yaml]', 'File[/var/lib/certsync]', 'File[/usr/bin/certsync]', 'Package[certsync]',
    )
  end

  it 'does nothing of its own when it is notified' do
    expect(made).not_to respond_to(:refresh)
  end
end
