import FoundationEssentials
import Glibc

/// The program that ssh runs to ask for a password: sealer's own executable under another name. It passes ssh's question to the sealer
/// that started ssh, over a socket in a folder that only this user can enter, and prints the answer. So a password is in no argument
/// list and in no environment.
public enum AskPass {
    /// The name of the link to the executable.
    static let linkName = "sealer-askpass"
    /// The variable with the socket's path.
    static let socketVariable = "SEALER_ASKPASS_SOCKET"
    /// The most bytes of a question, and of an answer.
    static let limit = 8 << 10
    /// What an answer begins with.
    static let granted = UInt8(ascii: "+")
    /// How long the answer may take, in seconds; a person may have to type it.
    private static let patience = 900

    /// Does the work when the process was started under the link's name. Call it first of all; it blocks.
    ///
    /// - Returns: the status to exit with; nil when the process is something else.
    public static func runIfInvoked(arguments: [String], environment: [String: String]) -> Int32? {
        guard let name = arguments.first, name == linkName || name.hasSuffix("/\(linkName)") else { return nil }
        guard let path = environment[socketVariable], arguments.count > 1 else { return 1 }
        signal(SIGPIPE, SIG_IGN)
        guard let answer = ask(arguments[1], path) else { return 1 }
        return writeAll(1, answer + [UInt8(ascii: "\n")]) ? 0 : 1
    }

    private static func ask(_ question: String, _ path: String) -> [UInt8]? {
        let descriptor = UnixSocket.make()
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        UnixSocket.setTimeout(descriptor, seconds: patience)
        guard UnixSocket.connect(descriptor, to: path),
            writeAll(descriptor, Array(question.utf8.prefix(limit))),
            shutdown(descriptor, Int32(SHUT_WR)) == 0,
            let reply = UnixSocket.readToEnd(descriptor, limit: limit + 1),
            reply.first == granted
        else { return nil }
        return Array(reply.dropFirst())
    }

    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
