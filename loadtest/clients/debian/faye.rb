# Lines of the standard input are sent, messages are printed.
require 'eventmachine'
require 'faye/websocket'

$stdout.sync = true

# Hands on what comes in lines.
class Input < EM::Connection
  include EM::P::LineText2

  def initialize(socket) = @socket = socket
  def receive_line(line) = @socket.send(line)
  def unbind(*) = @socket.close(1000)
end

EM.run do
  headers = ENV['WS_BEARER'].to_s.empty? ? {} : { 'Authorization' => "Bearer #{ENV['WS_BEARER']}" }
  options = { headers: headers }
  options[:max_length] = 131_072 if ENV['WS_LARGE'] == '1'
  socket = Faye::WebSocket::Client.new(ENV['WS_URL'], ENV['WS_PROTOCOLS'].to_s.split(','), options)
  socket.on(:open) do
    puts "open #{socket.protocol}"
    EM.attach($stdin, Input, socket)
  end
  socket.on(:message) { |event| puts "text #{event.data}" }
  socket.on(:error) { |event| puts "error #{event.message}" }
  socket.on(:close) do |event|
    puts "close #{event.code} #{event.reason}"
    exit!
  end
end
