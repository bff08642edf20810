// Lines of the standard input are sent, messages are printed.
#include <Poco/Net/HTTPClientSession.h>
#include <Poco/Net/HTTPRequest.h>
#include <Poco/Net/HTTPResponse.h>
#include <Poco/Net/WebSocket.h>
#include <Poco/URI.h>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

using namespace Poco::Net;

static std::string env(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

int main() {
    try {
        Poco::URI uri("http" + env("WS_URL").substr(2));
        HTTPClientSession session(uri.getHost(), uri.getPort());
        HTTPRequest request(HTTPRequest::HTTP_GET, uri.getPathAndQuery(), HTTPMessage::HTTP_1_1);
        if (!env("WS_BEARER").empty()) request.set("Authorization", "Bearer " + env("WS_BEARER"));
        if (!env("WS_PROTOCOLS").empty()) request.set("Sec-WebSocket-Protocol", env("WS_PROTOCOLS"));
        HTTPResponse response;
        WebSocket ws(session, request, response);
        ws.setReceiveTimeout(Poco::Timespan(3600, 0));
        if (env("WS_LARGE") == "1") ws.setMaxPayloadSize(131072);
        std::cout << "open " << response.get("Sec-WebSocket-Protocol", "") << std::endl;
        std::thread([&] {
            std::string line;
            while (std::getline(std::cin, line)) ws.sendFrame(line.data(), line.size());
            ws.shutdown();
        }).detach();
        for (;;) {
            Poco::Buffer<char> buffer(0);
            int flags = 0;
            int size = ws.receiveFrame(buffer, flags);
            switch (flags & WebSocket::FRAME_OP_BITMASK) {
            case WebSocket::FRAME_OP_CLOSE: {
                const unsigned char* at = reinterpret_cast<const unsigned char*>(buffer.begin());
                std::cout << "close " << (size >= 2 ? at[0] << 8 | at[1] : 1005) << " "
                          << (size > 2 ? std::string(buffer.begin() + 2, size - 2) : "") << std::endl;
                std::_Exit(0);
            }
            case WebSocket::FRAME_OP_PING:
                ws.sendFrame(buffer.begin(), size, WebSocket::FRAME_FLAG_FIN | WebSocket::FRAME_OP_PONG);
                break;
            case WebSocket::FRAME_OP_TEXT:
                std::cout << "text " << std::string(buffer.begin(), size) << std::endl;
                break;
            default:
                if (size == 0) {
                    std::cout << "error ended" << std::endl;
                    std::_Exit(0);
                }
            }
        }
    } catch (Poco::Exception& error) {
        std::cout << "error " << error.displayText() << std::endl;
    }
    std::_Exit(0);
}
