# frozen_string_literal: true

# @summary Writes a spec as YAML that certsync reads back with exactly the same types.
#
# Text that any YAML would take for something else (`0640`, `yes`, `1e3`, `12:30:00`, `-rw-r-----`, `~`) stands in quotes. The order is the one given.
# Keys without a value (`undef`) are left out, since a spec has no empty values.
Puppet::Functions.create_function(:'certsync::to_yaml') do
  # @param spec The spec, as a structure.
  # @return [String] The YAML text, with a final line break.
  # @example The spec from Hiera
  #   file { '/etc/certsync/certsync.yaml':
  #     content => certsync::to_yaml(lookup('certsync_spec', Hash)),
  #   }
  dispatch :to_yaml do
    param 'Hash', :spec
    return_type 'String'
  end

  def to_yaml(spec)
    "#{lines(spec, []).join("\n")}\n"
  end

  # The lines of a value, not indented.
  def lines(value, path)
    case value
    when Hash
      of_hash(value, path)
    when Array
      of_list(value, path)
    else
      [scalar(value, path)]
    end
  end

  def of_hash(hash, path)
    kept = hash.reject { |_, value| value.nil? }
    return ['{}'] if kept.empty?

    kept.flat_map do |key, value|
      inside = lines(value, path + [key])
      key = "#{of_key(key, path)}:"
      nested?(value) ? [key, *inside.map { |line| "  #{line}" }] : ["#{key} #{inside.first}"]
    end
  end

  def of_list(list, path)
    return ['[]'] if list.empty?

    list.each_with_index.flat_map do |value, index|
      first, *rest = lines(value, path + [index])
      ["- #{first}", *rest.map { |line| "  #{line}" }]
    end
  end

  def nested?(value)
    (value.is_a?(Hash) && !value.compact.empty?) || (value.is_a?(Array) && !value.empty?)
  end

  def of_key(key, path)
    refuse(path, "a key is text, not #{key.class.name.downcase}") unless key.is_a?(String) || key.is_a?(Integer)
    # YAML looks no further for the colon.
    refuse(path, "a key has at most 200 characters: #{key[0, 20]}…") if key.is_a?(String) && key.size > 200
    scalar(key, path)
  end

  def scalar(value, path)
    case value
    when String
      text(value, path)
    when Integer, true, false
      value.to_s
    when nil
      refuse(path, 'a list has no empty items')
    when Puppet::Pops::Types::PSensitiveType::Sensitive
      refuse(path, 'a spec holds no secret; unwrap what is none')
    else
      refuse(path, "#{value.class.name.split('::').last} is nothing that a spec can hold")
    end
  end

  def text(value, path)
    value = value.encode(Encoding::UTF_8)
    # It would be shown in differences and kept in reports.
    refuse(path, 'a private key belongs to a source, never into a spec') if value.include?('PRIVATE KEY-----')
    return value if plain?(value)
    return "'#{value.gsub("'", "''")}'" unless value.match?(%r{[\p{C}\u2028\u2029]})

    "\"#{value.gsub(%r{["\\\p{C}\u2028\u2029]}) { |char| escaped(char) }}\""
  end

  # Whether no YAML, old or new, takes it for anything but text.
  def plain?(value)
    value.match?(%r{\A[A-Za-z/_][A-Za-z0-9/_.+-]*\z}) && !['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'].include?(value.downcase)
  end

  # In double quotes: controls, what is not assigned, and what ends a line.
  def escaped(char)
    short = { "\n" => '\n', "\t" => '\t', "\r" => '\r', '"' => '\"', '\\' => '\\\\' }[char]
    return short if short

    code = char.ord
    return format('\\x%02X', code) if code <= 0xff

    code <= 0xffff ? format('\\u%04X', code) : format('\\U%08X', code)
  end

  def refuse(path, why)
    where = path.empty? ? 'the spec' : path.join('.')
    raise ArgumentError, "#{where}: #{why}"
  end
end
