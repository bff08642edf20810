import os

from pipe import BEARER, PROTOCOLS, URL, closed, feed, say
from PyQt6.QtCore import QCoreApplication, QObject, QUrl, pyqtSignal
from PyQt6.QtNetwork import QNetworkRequest
from PyQt6.QtWebSockets import QWebSocket, QWebSocketHandshakeOptions

app = QCoreApplication([])
ws = QWebSocket()


class Lines(QObject):
    came = pyqtSignal(object)


lines = Lines()
lines.came.connect(lambda line: ws.close() if line is None else ws.sendTextMessage(line))


def opened():
    say("open", ws.subprotocol())
    feed(lines.came.emit)


def ended():
    closed(ws.closeCode().value, ws.closeReason())
    app.quit()


def erred(_):
    say("error", ws.errorString())


ws.connected.connect(opened)
ws.textMessageReceived.connect(lambda text: say("text", text))
ws.disconnected.connect(ended)
ws.errorOccurred.connect(erred)
request = QNetworkRequest(QUrl(URL))
if BEARER:
    request.setRawHeader(b"Authorization", f"Bearer {BEARER}".encode())
options = QWebSocketHandshakeOptions()
options.setSubprotocols(PROTOCOLS)
ws.open(request, options)
app.exec()
os._exit(0)
