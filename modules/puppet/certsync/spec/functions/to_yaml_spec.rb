# frozen_string_literal: true

require 'spec_helper'
require 'yaml'

describe 'certsync::to_yaml' do
  include Site

  def of(value)
    subject.execute(value)
  end

  # Text that some YAML takes for something else, or that is hard to write.
  let(:texts) do
    ['', ' ', '~', '=', '-', '?', '.', '---', '...', '<<', 'y', 'N', 'Yes', 'off', 'TRUE', 'False', 'null', 'Null', 'NULL', '0', '640', '0640', '0o17',
     '0x1f', '0b1', '1_000', '1e3', '1E+3', '.5', '5.', '-1', '+1', '.inf', '-.INF', '.nan', '12:30:00', '190:20:30', '2026-11-22', '2026-11-22 12:00:00 +1',
     '-rw-r-----', 'drwxr-x---', '- a', '-a', 'a: b', 'a:', ':a', 'a #b', '#a', 'a#b', '*.pem', '&a', '!a', '|', '>', '%a', '@a', '`a`', '[a]', '{name}.pem', 'a, b',
     ' lead', 'trail ', "'quoted'", '"quoted"', "it's", 'back\\slash', "two\nlines", "\nlead", "trail\n", "a\n\n b\n", "tab\there", "\r\n", "\e[0m", "\u007f",
     "\u0085", "\u00a0", "\u2028", "\u2029", "\ufeff", "\u200b", "\ufffe", 'née', '日本', "\u{1f511}", 'x' * 5000, 'ssh-ed25519 AAAA/+==', '10.0.0.11', '60s', '1MiB',
     '/etc/ssl/a b', '{{ a }}', '%{a}', '${a}', 'SHA256:abc']
  end

  it 'writes a spec as a person would' do
    is_expected.to run.with_params(
      'version' => 1,
      'include' => ['certs.d/*.yaml'],
      'defaults' => { 'group' => 'ssl', 'key_mode' => '-rw-r-----', 'prune' => false, 'keep' => 2 },
      'certs' => { 'www.example.com' => { 'source' => '/etc/letsencrypt/live/www.example.com', 'only' => [],
                                          'install' => [{ 'dest' => '/etc/nginx/tls', 'files' => { '{name}.pem' => ['a.pem', 'b.pem'] } }] } },
    ).and_return(<<~YAML)
      version: 1
      include:
        - 'certs.d/*.yaml'
      defaults:
        group: ssl
        key_mode: '-rw-r-----'
        prune: false
        keep: 2
      certs:
        www.example.com:
          source: /etc/letsencrypt/live/www.example.com
          only: []
          install:
            - dest: /etc/nginx/tls
              files:
                '{name}.pem':
                  - a.pem
                  - b.pem
    YAML
  end

  it 'keeps every text, as a value and as a key' do
    texts.each do |text|
      value = { 'a' => text, 'b' => [text, [text]] }
      # Ruby's own YAML takes this key for more than text even in quotes.
      value[text] = { text => true } unless text == '<<' || text.size > 200
      expect(YAML.safe_load(of(value))).to eq(value), text.inspect
    end
  end

  it 'keeps the order, numbers, booleans and what is empty' do
    value = { 'z' => 0, 'a' => -5, 'm' => { 'y' => [], 'x' => {} }, 'l' => [true, false, 1 << 40, [], {}, [[1], { 'q' => [2] }]] }
    expect(YAML.safe_load(of(value))).to eq(value)
    expect(YAML.safe_load(of(value)).keys).to eq(['z', 'a', 'm', 'l'])
    expect(of({})).to eq("{}\n")
  end

  it 'leaves out keys without a value' do
    expect(of('a' => nil, 'b' => { 'c' => nil }, 'd' => [{ 'e' => 1, 'f' => nil }])).to eq("b: {}\nd:\n  - e: 1\n")
  end

  it 'refuses what no spec can hold, and says where' do
    is_expected.to run.with_params('a' => { 'b' => [1, nil] }).and_raise_error(%r{a\.b\.1: a list has no empty items})
    is_expected.to run.with_params('a' => { 'b' => "-----BEGIN EC PRIVATE KEY-----\nMHc" }).and_raise_error(%r{\Aa\.b: a private key})
    is_expected.to run.with_params('a' => Puppet::Pops::Types::PSensitiveType::Sensitive.new('x')).and_raise_error(%r{a: a spec holds no secret})
    is_expected.to run.with_params('a' => :default).and_raise_error(%r{a: Symbol is nothing that a spec can hold})
    is_expected.to run.with_params('a' => 1.5).and_raise_error(%r{a: Float is nothing})
    is_expected.to run.with_params(nil => 1).and_raise_error(%r{the spec: a key is text})
    is_expected.to run.with_params('x' * 201 => 1).and_raise_error(%r{the spec: a key has at most 200 characters: xxx})
    is_expected.to run.with_params('a').and_raise_error(%r{expects a Hash value})
    is_expected.to run.with_params(Puppet::Pops::Types::PSensitiveType::Sensitive.new({})).and_raise_error(%r{expects a Hash value})
  end

  # What certsync takes a text for is seen by what it hands to a hook.
  it 'is read by certsync as what it was', :site do
    issue
    handed = texts.reject { |text| text.match?(%r{[\p{Cc}]}) && !text.match?(%r{\A[^\p{Cc}]*[\n\t][^\p{Cc}]*\z}) }
    expect(handed.size).to be > 85
    write_spec(of(
      'version' => 1,
      'hooks' => { 'show' => { 'run' => ['sh', '-c', "printf '%s\\0' \"$@\" >#{at('handed')}", 'sh', *handed], 'env' => { 'YES' => 'yes' }, 'per_set' => false } },
      'limits' => { 'files' => 500 },
      'certs' => { 'yes' => { 'source' => 'src/www.example.com', 'install' => { 'dest' => at('dest'), 'key_mode' => '0600', 'keep' => 3, 'prune' => true, 'hooks' => ['show'] } } },
    ))
    expect(certsync('apply', at('certsync.yaml'))).to include('yes: installed')
    expect(File.read(at('handed')).split("\0", -1)[0..-2]).to eq(handed)
  end
end
