use strict;
use warnings;
use Mojo::IOLoop;
use Mojo::UserAgent;

# Lines of the standard input are sent, messages are printed.
$| = 1;
my $ua = Mojo::UserAgent->new;
$ua->max_redirects(0);
my $headers = $ENV{WS_BEARER} ? { Authorization => "Bearer $ENV{WS_BEARER}" } : {};
my $protocols = [ split /,/, $ENV{WS_PROTOCOLS} // '' ];
my $tx = $ua->build_websocket_tx($ENV{WS_URL}, $headers, $protocols);
$tx->req->headers->sec_websocket_extensions('permessage-deflate') if ($ENV{WS_COMPRESS} // '') eq '1';
$ua->start($tx => sub {
    my (undef, $tx) = @_;
    if (!$tx->is_websocket) {
        print "error status ", $tx->res->code // 0, "\n";
        return Mojo::IOLoop->stop;
    }
    print "open ", $tx->protocol // '', "\n";
    $tx->max_websocket_size(131072) if ($ENV{WS_LARGE} // '') eq '1';
    $tx->on(text => sub { my (undef, $bytes) = @_; print "text $bytes\n" });
    $tx->on(finish => sub {
        my (undef, $code, $reason) = @_;
        print "close ", $code // 1006, " ", $reason // '', "\n";
        Mojo::IOLoop->stop;
    });
    my $stream = Mojo::IOLoop::Stream->new(\*STDIN)->timeout(0);
    my $rest   = '';
    $stream->on(read => sub {
        $rest .= $_[1];
        $tx->send({ text => $1 }) while $rest =~ s/^(.*)\n//;
    });
    $stream->on(close => sub { $tx->finish(1000) });
    Mojo::IOLoop->stream($stream);
});
Mojo::IOLoop->start;
