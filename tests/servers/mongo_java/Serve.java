import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import io.netty.channel.Channel;
import java.util.List;

/** Serves MongoDB's wire protocol from memory, on a free port of 127.0.0.1, until its standard input ends. */
public class Serve {
    public static void main(String[] arguments) throws Exception {
        MongoServer server = new MongoServer(new Sessions().version(new Claimed()));
        server.bind("127.0.0.1", 0);
        System.out.println("port " + server.getLocalAddress().getPort());
        System.in.read();
        server.shutdownNow();
    }

    /**
     * The greeting of a router, so that drivers use sessions, transactions and retryable writes. The server takes no
     * notice of these fields: a transaction that reaches it is none, and ends with an unknown command.
     */
    private static final class Sessions extends MemoryBackend {
        @Override
        public Document handleCommand(Channel channel, String database, String command, Document query) {
            return greeting(super.handleCommand(channel, database, command, query));
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            return greeting(super.handleMessage(message));
        }

        private static Document greeting(Document reply) {
            if (reply.containsKey("maxWireVersion")) {
                reply.put("msg", "isdbgrid");
                reply.put("logicalSessionTimeoutMinutes", 30);
            }
            return reply;
        }
    }

    /** The server itself claims 4.2 at most (wire version 8), which current drivers no longer talk to. */
    private static final class Claimed implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public String toVersionString() {
            return "4.4.0";
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }
}
