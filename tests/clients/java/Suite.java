import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;

/** The loop that runs cases as the harness's conventions say; tests/clients/README.md has them. */
final class Suite {
    /** How long a case waits for something that must happen. */
    static final long PATIENCE_MS = 40_000;

    /** A case; whatever it throws is its failure. */
    interface Case {
        void run(Context context) throws Exception;
    }

    private final String client;
    private final Map<String, Case> cases = new LinkedHashMap<>();
    private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    Suite(String client) {
        this.client = client;
    }

    void add(String name, Case body) {
        cases.put(name, body);
    }

    void main(String[] arguments) throws IOException {
        // Only result lines may reach standard output, whatever a library prints.
        System.setOut(System.err);
        String bootstrap = arguments[0];
        String given = System.getenv("MILLRACE_TEST_RUN");
        String run = given != null ? given : ProcessHandle.current().pid() + "-" + System.currentTimeMillis() / 1000;
        String known = cases.keySet().stream().map(Suite::quote).collect(Collectors.joining(", "));
        out.println("{\"client\": " + quote(client) + ", \"cases\": [" + known + "]}");
        boolean passed = true;
        List<String> names = new ArrayList<>(Arrays.asList(arguments).subList(1, arguments.length));
        if (!names.isEmpty()) {
            for (String name : names) {
                passed &= runCase(bootstrap, run, name);
            }
        } else {
            for (String name = in.readLine(); name != null; name = in.readLine()) {
                passed &= runCase(bootstrap, run, name.trim());
            }
        }
        System.exit(passed ? 0 : 1);
    }

    private boolean runCase(String bootstrap, String run, String name) {
        String detail = "null";
        boolean ok = true;
        try {
            cases.get(name).run(new Context(bootstrap, client + "." + name + "." + run));
        } catch (Exception | AssertionError failure) {
            StringWriter trace = new StringWriter();
            failure.printStackTrace(new PrintWriter(trace));
            detail = quote(trace.toString());
            ok = false;
        }
        out.println("{\"case\": " + quote(name) + ", \"ok\": " + ok + ", \"detail\": " + detail + "}");
        return ok;
    }

    private static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\' || c < ' ') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    /** What a case knows: the broker's address, and a name that no other case or run uses. */
    final class Context {
        final String bootstrap;
        final String name;

        Context(String bootstrap, String name) {
            this.bootstrap = bootstrap;
            this.name = name;
        }

        /** Has the broker restarted, and returns when it answers again. */
        void restartBroker() throws IOException {
            out.println("{\"hook\": \"restart\"}");
            if (in.readLine() == null) {
                throw new IllegalStateException("nobody restarted the broker");
            }
        }
    }

    /** Fails the case unless both are equal; arrays are compared by content. */
    static void equal(Object actual, Object expected, String what) {
        if (!Objects.deepEquals(actual, expected)) {
            throw new AssertionError(what + ": got " + clip(actual) + ", want " + clip(expected));
        }
    }

    private static String clip(Object value) {
        String text = value instanceof byte[] bytes ? Arrays.toString(bytes) : String.valueOf(value);
        return text.length() <= 600 ? text : text.substring(0, 600) + "... (" + text.length() + " characters)";
    }

    /** Fails the case unless the condition comes true in time. */
    static void waitUntil(String what, BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("timed out waiting for " + what);
            }
            Thread.sleep(10);
        }
    }
}
