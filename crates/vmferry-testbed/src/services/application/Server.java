import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Random;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

/** Tomcat with one servlet, /work, and no files of settings. */
public final class Server {
    private static final int PORT = 8080;

    /** The first compiler takes what was called 200 times. */
    private static final int ASKED = 250;

    public static void main(String[] words) throws Exception {
        if (words.length == 3 && words[0].equals("pack")) {
            pack(Path.of(words[1]), Path.of(words[2]));
            return;
        }
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir("/tmp/tomcat");
        tomcat.setPort(PORT);
        tomcat.getConnector().setProperty("maxKeepAliveRequests", "-1");
        tomcat.getConnector().setProperty("keepAliveTimeout", "3600000");
        tomcat.getConnector().setProperty("maxThreads", "32");
        Context context = tomcat.addContext("", "/tmp");
        Tomcat.addServlet(context, "work", new Work());
        context.addServletMappingDecoded("/work", "work");
        tomcat.start();
        ask();
        System.out.println("ready");
        tomcat.getServer().await();
    }

    /** Asks for the page until it comes as fast as ever: what makes it is loaded and compiled then. */
    private static void ask() throws IOException {
        byte[] request = "GET /work HTTP/1.1\r\nHost: guest\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
        byte[] end = "</html>\n".getBytes(StandardCharsets.US_ASCII);
        try (Socket socket = new Socket("127.0.0.1", PORT)) {
            InputStream answer = new BufferedInputStream(socket.getInputStream());
            for (int times = 0; times < ASKED; times++) {
                socket.getOutputStream().write(request);
                int found = 0;
                while (found < end.length) {
                    int next = answer.read();
                    if (next < 0) {
                        throw new EOFException("no answer to request " + times);
                    }
                    found = next == end[found] ? found + 1 : next == end[0] ? 1 : 0;
                }
            }
        }
    }

    /** Makes a jar of classes: only classes of jars can be archived for a faster start. */
    private static void pack(Path classes, Path jar) throws IOException {
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar));
                var found = Files.list(classes)) {
            for (Path path : (Iterable<Path>) found.sorted()::iterator) {
                out.putNextEntry(new JarEntry(path.getFileName().toString()));
                out.write(Files.readAllBytes(path));
                out.closeEntry();
            }
        }
    }

    /** Changes some accounts of a store in memory, sorts a part of it, and answers with a table. */
    static final class Work extends HttpServlet {
        private static final int ACCOUNTS = 65536;
        private static final int CHANGED = 64;
        private static final int SHOWN = 50;

        /** 1 KiB each. */
        private final byte[][] accounts = new byte[ACCOUNTS][];
        private final Random random = new Random(1);

        Work() {
            for (int number = 0; number < ACCOUNTS; number++) {
                accounts[number] = new byte[1024];
                random.nextBytes(accounts[number]);
            }
        }

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            long[] sums = new long[CHANGED];
            synchronized (accounts) {
                for (int place = 0; place < CHANGED; place++) {
                    int number = random.nextInt(ACCOUNTS);
                    byte[] account = accounts[number].clone();
                    account[random.nextInt(account.length)]++;
                    accounts[number] = account;
                    sums[place] = Arrays.hashCode(account);
                }
            }
            Arrays.sort(sums);
            StringBuilder page = new StringBuilder("<html><body><table>\n");
            for (int row = 0; row < SHOWN; row++) {
                page.append("<tr><td>").append(row).append("</td><td>").append(sums[row]).append("</td></tr>\n");
            }
            page.append("</table>").append(digest(page)).append("</body></html>\n");
            byte[] body = page.toString().getBytes(StandardCharsets.US_ASCII);
            response.setContentType("text/html");
            response.setContentLength(body.length);
            response.getOutputStream().write(body);
        }

        private static String digest(CharSequence page) {
            try {
                MessageDigest digest = MessageDigest.getInstance("SHA-256");
                byte[] sum = digest.digest(page.toString().getBytes(StandardCharsets.US_ASCII));
                return java.util.HexFormat.of().formatHex(sum);
            } catch (java.security.NoSuchAlgorithmException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }
}
