// Lines of the standard input are sent, messages are printed.
using System;
using System.IO;
using System.Net.WebSockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

static class Mono {
    static void Main() { Run().Wait(); }

    static async Task Run() {
        var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };
        var ws = new ClientWebSocket();
        var bearer = Environment.GetEnvironmentVariable("WS_BEARER");
        if (!string.IsNullOrEmpty(bearer)) ws.Options.SetRequestHeader("Authorization", "Bearer " + bearer);
        foreach (var name in (Environment.GetEnvironmentVariable("WS_PROTOCOLS") ?? "").Split(new[] { ',' }, StringSplitOptions.RemoveEmptyEntries))
            ws.Options.AddSubProtocol(name);
        try {
            await ws.ConnectAsync(new Uri(Environment.GetEnvironmentVariable("WS_URL")), CancellationToken.None);
            output.WriteLine("open " + ws.SubProtocol);
            new Thread(() => {
                string line;
                while ((line = Console.In.ReadLine()) != null)
                    ws.SendAsync(new ArraySegment<byte>(Encoding.UTF8.GetBytes(line)), WebSocketMessageType.Text, true, CancellationToken.None).Wait();
                ws.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "", CancellationToken.None).Wait();
            }) { IsBackground = true }.Start();
            var part = new ArraySegment<byte>(new byte[16384]);
            var message = new MemoryStream();
            while (true) {
                var got = await ws.ReceiveAsync(part, CancellationToken.None);
                if (got.MessageType == WebSocketMessageType.Close) {
                    output.WriteLine("close " + (int)got.CloseStatus.GetValueOrDefault() + " " + got.CloseStatusDescription);
                    break;
                }
                message.Write(part.Array, 0, got.Count);
                if (!got.EndOfMessage) continue;
                output.WriteLine("text " + Encoding.UTF8.GetString(message.ToArray()));
                message.SetLength(0);
            }
        } catch (Exception error) {
            output.WriteLine("error " + error.Message.Replace('\n', ' '));
        }
        Environment.Exit(0);
    }
}
