# Lines of the standard input are sent, messages are printed.
package require websocket

proc say {text} { puts stdout $text; flush stdout }
proc came {sock type message} {
    switch $type {
        connect { say "open [::websocket::conninfo $sock state]"; fileevent stdin readable [list typed $sock] }
        text { say "text $message" }
        close { say "close [lindex $message 0] [lindex $message 1]"; exit }
        disconnect { say "close 1006 "; exit }
        error - timeout { say "error $message"; exit }
    }
}
proc typed {sock} {
    if {[gets stdin line] >= 0} {
        ::websocket::send $sock text $line
    } elseif {[eof stdin]} {
        fileevent stdin readable {}
        ::websocket::close $sock 1000
    }
}
fconfigure stdout -encoding utf-8
fconfigure stdin -encoding utf-8
set headers {}
if {$::env(WS_BEARER) ne ""} { set headers [list Authorization "Bearer $::env(WS_BEARER)"] }
::websocket::open $::env(WS_URL) came -headers $headers -protocol [split $::env(WS_PROTOCOLS) ,]
vwait forever
