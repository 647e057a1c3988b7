// The endpoint of docs/conformance.md under the stock OpenTelemetry Java agent. Behind the sidecar of
// docs/envoy.md, x-tracer-bullet is there exactly when the request is a bullet with proof.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Conformance {
  static final String HEADER = "x-tracer-bullet";
  static final AtomicLong written = new AtomicLong();
  static final HttpClient client = HttpClient.newHttpClient();

  static String field(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"]*)\"").matcher(json);
    return found.find() ? found.group(1) : null;
  }

  static String run(String token) {
    return field(new String(Base64.getUrlDecoder().decode(token.split("\\.")[1]), StandardCharsets.UTF_8), "run");
  }

  static void call(String url, String token) throws IOException, InterruptedException {
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
    if (token != null) request.header(HEADER, token); // OpenTelemetry carries the other two carriers
    client.send(request.build(), HttpResponse.BodyHandlers.discarding());
  }

  static String serve(HttpExchange exchange) throws IOException, InterruptedException {
    if (exchange.getRequestMethod().equals("GET")) return "{\"written\": " + written.get() + "}";
    String wanted = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
    String token = exchange.getRequestHeaders().getFirst(HEADER);
    call(field(wanted, "forward_to"), token);
    if (token != null) {
      return "{\"request_type\": \"TRACE\", \"wrote\": false, \"run\": \"" + run(token) + "\"}";
    }
    written.incrementAndGet();
    return "{\"request_type\": \"STANDARD\", \"wrote\": true}";
  }

  public static void main(String[] arguments) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/tracer-bullet/conformance", exchange -> {
      int status = 200;
      String body;
      try {
        body = serve(exchange);
      } catch (Exception error) {
        status = 500;
        body = "{\"error\": true}";
      }
      byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
      exchange.getResponseHeaders().set("content-type", "application/json");
      exchange.sendResponseHeaders(status, bytes.length);
      exchange.getResponseBody().write(bytes);
      exchange.close();
    });
    server.start();
    System.out.println("listening on " + server.getAddress().getPort());
  }
}
