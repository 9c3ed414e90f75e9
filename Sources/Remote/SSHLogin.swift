import FoundationEssentials
import Report

/// What a host says between the start of the login shell and the start of sealer's program there, told apart from whatever else the
/// login prints.
///
/// The host's script says words behind a mark. Mark and sudo's prompt are put together on the host out of two halves, so that neither
/// stands in the command line, which a shell may print.
struct SSHLogin: Sendable {
    /// What the script says.
    enum Word: String, Sendable {
        /// From the next byte on the output is the program's.
        case ready
        /// sudo wants the password.
        case password
        /// sudo will not do it, and no password would help.
        case refused
        /// There is no sudo.
        case noSudo = "no-sudo"
    }

    /// The most bytes that a login may print before the program starts.
    static let noiseLimit = 1 << 20

    /// The halves of the mark.
    let halves: (first: String, second: String)
    /// What the script said so far.
    private(set) var words: [Word] = []
    private var output = Data()
    private var outputCount = 0
    private var line = Data()
    private var isPromptOpen = false
    private var prompts = 0
    private var answers = 0

    init(halves: (String, String) = (Self.random(), Self.random())) {
        self.halves = halves
    }

    private static func random() -> String {
        let text = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    private var mark: Data { Data("\(halves.first)\(halves.second) ".utf8) }
    private var prompt: String { "\(halves.second)\(halves.first)" }
    /// What sudo-rs makes of a prompt: its frame around it, and what PAM asks for.
    private var framedPrompt: String { "[sudo: \(prompt)] Password:" }

    /// Takes standard output in.
    ///
    /// - Returns: the first bytes of the program when it has started, possibly none; nil when it has not.
    /// - Throws: `Failure` of kind `integrity` when the login prints without end.
    mutating func takeOutput(_ bytes: Data) throws -> Data? {
        output.append(bytes)
        outputCount += bytes.count
        let mark = mark
        while let found = output.firstRange(of: mark) {
            guard let end = output[found.upperBound...].firstIndex(of: UInt8(ascii: "\n")) else {
                output = Data(output[found.lowerBound...])
                break
            }
            let word = Word(rawValue: String(decoding: output[found.upperBound..<end], as: UTF8.self))
            output = Data(output[output.index(after: end)...])
            guard let word else { continue }
            if word == .ready { return output }
            if words.count < 10 { words.append(word) }
        }
        guard outputCount <= Self.noiseLimit else {
            throw Failure(.integrity, "the login printed more than \(Self.noiseLimit >> 20) MiB and started nothing")
        }
        if output.firstRange(of: mark) == nil { output = Data(output.suffix(mark.count - 1)) }
        return nil
    }

    /// Takes standard error in.
    mutating func takeError(_ bytes: Data) {
        let prompts = [prompt, framedPrompt, "\(framedPrompt) "].map { Data($0.utf8) }
        let limit = prompts.map(\.count).max() ?? 0
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                line.removeAll(keepingCapacity: true)
                isPromptOpen = false
            } else if line.count <= limit {
                line.append(byte)
            }
        }
        // The prompt counts only when it is all that stands on the last line: sudo waits behind it. So it is with the frame of sudo-rs,
        // to the letter: what PAM asks for besides a password gets none.
        if prompts.contains(line), !isPromptOpen {
            isPromptOpen = true
            self.prompts += 1
        }
    }

    /// A question of sudo.
    enum Question: Sendable {
        /// It wants the password.
        case password
        /// It wants it again: what it got was wrong.
        case again
    }

    /// The question that is open now, once. Only after the script said that sudo wants a password: else whatever is sent would reach the
    /// program.
    mutating func takeQuestion() -> Question? {
        guard words.contains(.password), prompts > answers else { return nil }
        answers = prompts
        return prompts == 1 ? .password : .again
    }

    /// A text of the login without what is sealer's own in it.
    func withoutMarks(_ text: String) -> String {
        let own = ["\(framedPrompt) ", framedPrompt, prompt]
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            guard let own = own.first(where: { line.hasPrefix($0) }) else { return String(line) }
            return line.count == own.count ? nil : String(line.dropFirst(own.count))
        }.suffix(12).joined(separator: "\n")
    }
}
