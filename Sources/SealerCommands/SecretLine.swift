import Glibc
import LinuxSystem
import Report
import SystemPackage

/// A secret that somebody types, or that comes by standard input.
enum SecretLine {
    /// Asks at the terminal.
    ///
    /// - Throws: `Failure` of kind `usage` when there is none.
    static func ask(_ what: String, in context: CommandContext) async throws -> String {
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(
                .usage, "there is no terminal to ask for the \(what)",
                remedy: "say where it is: env:NAME or file:PATH instead of prompt")
        }
        context.writeError("\(what):")
        return try await BlockingPool.shared.run { try read(isHidden: true, $0) }
    }

    /// Reads a line, at most 64 KiB. Blocks.
    static func read(isHidden: Bool, _ cancellation: CancellationFlag) throws -> String {
        var before = termios()
        let canHide = isHidden && tcgetattr(STDIN_FILENO, &before) == 0
        if canHide {
            var silent = before
            silent.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent)
        }
        defer { if canHide { tcsetattr(STDIN_FILENO, TCSAFLUSH, &before) } }
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while bytes.count < 1 << 16 {
            // Ctrl-C must be seen, and the terminal be set back, while nobody types.
            try cancellation.check()
            var entry = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 100) != 0 else { continue }
            let count = Glibc.read(STDIN_FILENO, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw Failure(.system, "cannot read the password", causes: [Errno(rawValue: errno)])
            }
            if count == 0 || byte == UInt8(ascii: "\n") { break }
            bytes.append(byte)
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(.usage, "the password is not UTF-8 text")
        }
        return text
    }
}
