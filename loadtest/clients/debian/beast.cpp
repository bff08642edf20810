// Lines of the standard input are sent, messages are printed.
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = boost::asio::ip::tcp;

static std::string env(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

int main() {
    std::string url = env("WS_URL").substr(5);
    auto slash = url.find('/');
    std::string place = url.substr(0, slash), path = url.substr(slash);
    auto colon = place.find(':');
    boost::asio::io_context io;
    websocket::stream<tcp::socket> ws(io);
    try {
        boost::asio::connect(ws.next_layer(), tcp::resolver(io).resolve(place.substr(0, colon), place.substr(colon + 1)));
        if (env("WS_COMPRESS") == "1") {
            websocket::permessage_deflate deflate;
            deflate.client_enable = true;
            ws.set_option(deflate);
        }
        ws.set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
            if (!env("WS_BEARER").empty()) request.set("Authorization", "Bearer " + env("WS_BEARER"));
            if (!env("WS_PROTOCOLS").empty()) request.set("Sec-WebSocket-Protocol", env("WS_PROTOCOLS"));
        }));
        websocket::response_type answer;
        ws.handshake(answer, place, path);
        std::cout << "open " << std::string(answer["Sec-WebSocket-Protocol"]) << std::endl;
    } catch (std::exception& error) {
        std::cout << "error " << error.what() << std::endl;
        return 0;
    }
    std::thread([&] {
        std::string line;
        while (std::getline(std::cin, line)) ws.write(boost::asio::buffer(line));
        boost::beast::error_code ignored;
        ws.close(websocket::close_code::normal, ignored);
    }).detach();
    for (;;) {
        beast::flat_buffer buffer;
        beast::error_code error;
        ws.read(buffer, error);
        if (error == websocket::error::closed) {
            std::cout << "close " << ws.reason().code << " " << ws.reason().reason.c_str() << std::endl;
            std::_Exit(0);
        }
        if (error) {
            std::cout << "error " << error.message() << std::endl;
            std::_Exit(0);
        }
        std::cout << "text " << beast::make_printable(buffer.data()) << std::endl;
    }
}
