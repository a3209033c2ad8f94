import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Optional;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A fixture for tests against mockbroker: copy this file beside your tests. Needs JUnit 5, Jackson and the program.
 *
 * <pre>
 * &#64;RegisterExtension
 * Mockbroker kafka = new Mockbroker("""
 *     {"topics": [{"name": "orders", "partitions": 1}]}""");
 *
 * kafka.bootstrapServers();
 * kafka.post("/clock/advance", "{\"by_ms\": 45000}");
 * </pre>
 *
 * The program is started once; each test has a cluster of its own, which fails it if a fault that it mounted never fired. What
 * can be asked is in docs/CONTROL.md.
 */
final class Mockbroker implements BeforeEachCallback, AfterEachCallback {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient HTTP = HttpClient.newHttpClient();
    private static String control;

    private final String settings;
    private String cluster;
    private String bootstrapServers;

    /** For each test a cluster of these settings. */
    Mockbroker(String settings) {
        this.settings = settings;
    }

    String bootstrapServers() {
        return bootstrapServers;
    }

    JsonNode get(String path) {
        return ask("GET", cluster + path, "");
    }

    JsonNode post(String path, String body) {
        return ask("POST", cluster + path, body);
    }

    void delete(String path) {
        ask("DELETE", cluster + path, "");
    }

    @Override
    public void beforeEach(ExtensionContext context) throws IOException {
        JsonNode state = ask("POST", program() + "/clusters", settings);
        cluster = control + "/clusters/" + state.get("name").asText();
        bootstrapServers = state.get("bootstrap_servers").asText();
    }

    @Override
    public void afterEach(ExtensionContext context) {
        delete("");
    }

    /** Starts the program once. It ends with this process: its stdin is a pipe that only this process holds. */
    private static synchronized String program() throws IOException {
        if (control == null) {
            String name = Optional.ofNullable(System.getenv("MOCKBROKER")).orElse("mockbroker");
            ProcessBuilder builder = new ProcessBuilder(name, "serve", "--port", "0", "--control", "127.0.0.1:0", "--until-eof");
            BufferedReader lines = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start().inputReader();
            String line = lines.readLine();
            while (line != null && !line.startsWith("CONTROL ")) {
                line = lines.readLine();
            }
            if (line == null) {
                throw new IOException(name + " ended before it said where to ask");
            }
            control = line.substring("CONTROL ".length());
        }
        return control;
    }

    /** Fails with what was refused, and the cluster's report if something was waited for in vain. */
    private static JsonNode ask(String method, String url, String body) {
        try {
            HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).header("content-type", "application/json");
            var answer = HTTP.send(request.method(method, BodyPublishers.ofString(body)).build(), BodyHandlers.ofString());
            JsonNode told = JSON.readTree(answer.body());
            if (answer.statusCode() >= 300) {
                throw new AssertionError(method + " " + url + ": " + told.get("detail").asText() + "\n" + told.path("report").asText());
            }
            return told;
        } catch (IOException | InterruptedException error) {
            throw new AssertionError(method + " " + url, error);
        }
    }
}
