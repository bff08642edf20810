use strict;
use warnings;
use AnyEvent;
use AnyEvent::Handle;
use AnyEvent::WebSocket::Client;

# Lines of the standard input are sent, messages are printed.
$| = 1;
my $done   = AnyEvent->condvar;
my %more   = ($ENV{WS_LARGE} // '') eq '1' ? (max_payload_size => 131072) : ();
$more{subprotocol} = [ split /,/, $ENV{WS_PROTOCOLS} ] if $ENV{WS_PROTOCOLS};
my $client = AnyEvent::WebSocket::Client->new(
    http_headers => [ $ENV{WS_BEARER} ? (Authorization => "Bearer $ENV{WS_BEARER}") : () ],
    %more,
);
my ($connection, $input);
$client->connect($ENV{WS_URL})->cb(sub {
    $connection = eval { shift->recv };
    if ($@) { my $why = $@; $why =~ tr/\n/ /; print "error $why\n"; return $done->send }
    print "open ", $connection->subprotocol // '', "\n";
    $connection->on(each_message => sub { print "text ", $_[1]->body, "\n" });
    $connection->on(parse_error => sub { print "error $_[1]\n" });
    $connection->on(finish => sub {
        print "close ", $connection->close_code // 1006, " ", $connection->close_reason // '', "\n";
        $done->send;
    });
    $input = AnyEvent::Handle->new(fh => \*STDIN, on_eof => sub { $connection->close(1000) }, on_error => sub {});
    my $line; $line = sub { $connection->send($_[1]); $input->push_read(line => $line) };
    $input->push_read(line => $line);
});
$done->recv;
