# frozen_string_literal: true

# Run from the module's folder, by any user, without a network:
#
#     rspec
#
# CERTSYNC_TEST_PROGRAM names the certsync program that is tried; without it, what needs one is pending and says so.

require 'rspec-puppet'
require_relative 'support/site'
require_relative 'support/hosts'

RSpec.configure do |config|
  # The folder that this module is in is the module path, so that no copy or link of it is needed.
  config.module_path = File.expand_path('../..', __dir__)
  config.setup_fixtures = false
  config.strict_variables = true
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }
  config.include Site, :site
  config.before(:each, :site) { skip 'CERTSYNC_TEST_PROGRAM is not set' unless Site.program }
end
