// Lines of the standard input are sent, messages are printed.
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <websocketpp/client.hpp>
#include <websocketpp/config/asio_no_tls_client.hpp>
#include <websocketpp/extensions/permessage_deflate/enabled.hpp>

static std::string env(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

struct deflating : public websocketpp::config::asio_client {
    struct permessage_deflate_config {
        typedef websocketpp::http::parser::request request_type;
        static const bool allow_disabling_context_takeover = true;
        static const uint8_t minimum_outgoing_window_bits = 8;
    };
    typedef websocketpp::extensions::permessage_deflate::enabled<permessage_deflate_config> permessage_deflate_type;
};

template <typename Config> int run() {
    websocketpp::client<Config> client;
    client.clear_access_channels(websocketpp::log::alevel::all);
    client.clear_error_channels(websocketpp::log::elevel::all);
    client.init_asio();
    if (env("WS_LARGE") == "1") client.set_max_message_size(131072);
    websocketpp::lib::error_code error;
    auto connection = client.get_connection(env("WS_URL"), error);
    if (!env("WS_BEARER").empty()) connection->append_header("Authorization", "Bearer " + env("WS_BEARER"));
    std::istringstream names(env("WS_PROTOCOLS"));
    for (std::string name; std::getline(names, name, ',');) connection->add_subprotocol(name);
    connection->set_open_handler([&](websocketpp::connection_hdl handle) {
        std::cout << "open " << connection->get_subprotocol() << std::endl;
        std::thread([&, handle] {
            std::string line;
            while (std::getline(std::cin, line)) client.send(handle, line, websocketpp::frame::opcode::text);
            websocketpp::lib::error_code ignored;
            client.close(handle, 1000, "", ignored);
        }).detach();
    });
    connection->set_message_handler([](websocketpp::connection_hdl, typename websocketpp::client<Config>::message_ptr message) {
        std::cout << "text " << message->get_payload() << std::endl;
    });
    connection->set_close_handler([&](websocketpp::connection_hdl) {
        std::cout << "close " << connection->get_remote_close_code() << " " << connection->get_remote_close_reason() << std::endl;
        std::_Exit(0);
    });
    connection->set_fail_handler([&](websocketpp::connection_hdl) {
        std::cout << "error " << connection->get_ec().message() << std::endl;
        std::_Exit(0);
    });
    client.connect(connection);
    client.run();
    return 0;
}

int main() { return env("WS_COMPRESS") == "1" ? run<deflating>() : run<websocketpp::config::asio_client>(); }
