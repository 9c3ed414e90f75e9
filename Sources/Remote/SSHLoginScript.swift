import Report
import SystemPackage

/// The command line that the login shell of the host gets. It works in any POSIX shell, and in fish and csh too: it has no line ends,
/// no backslashes and no `!` but those in the caller's own words.
struct SSHLoginScript: Sendable {
    /// What root's shell runs; it gets the halves of the mark and then `arguments`.
    private let rootScript: String
    private let arguments: [String]

    /// Runs a program, which takes the script's place.
    ///
    /// - Throws: `Failure` of kind `software` for what no command line can carry.
    static func start(_ command: [String]) throws -> SSHLoginScript {
        guard let program = command.first, program.hasPrefix("/") else {
            throw Failure(
                .software, "a program on a host is started by its absolute path, not as \(command.first ?? "nothing")")
        }
        let script = #"echo; echo "$1$2 ready"; shift 2; cd /; umask 022; exec "$@""#
        return try SSHLoginScript(rootScript: script, arguments: command)
    }

    /// What the script says, behind its mark, when the file has its name.
    static let placed = "placed"

    /// Makes a file of what comes on standard input: under a temporary name that nobody else may read, then, when all of it came and is on
    /// the disk, under its own.
    static func place(at path: FilePath, size: Int64, permissions: FilePermissions) throws -> SSHLoginScript {
        guard path.isAbsolute, let name = path.lastComponent?.string, name != ".." else {
            throw Failure(.software, "a file on a host has an absolute path, not \(path)")
        }
        let folder = path.removingLastComponent()
        let temporary = folder.appending(".\(name.prefix(100)).\(UInt64.random(in: 0...UInt64.max))")
        let script = [
            #"a=$1; b=$2; d=$3; p=$4; t=$5; n=$6; m=$7"#,
            #"fail() { rm -f -- "$t"; exit 1; }"#,
            #"trap fail HUP INT TERM PIPE"#,
            #"echo; echo "$a$b ready""#,
            #"umask 022; mkdir -p -- "$d" || exit 1"#,
            #"if [ -d "$p" ]; then echo "$p is a folder" >&2; exit 1; fi"#,
            #"umask 077; dd of="$t" bs=65536 conv=fsync status=none || fail"#,
            #"s=$(wc -c < "$t"); if [ "$s" -ne "$n" ]; then echo "only $s of $n bytes came" >&2; fail; fi"#,
            #"chmod "$m" "$t" && mv -f -- "$t" "$p" || fail"#,
            #"echo "$a$b \#(placed)""#,
        ].joined(separator: "; ")
        let mode = String(permissions.rawValue & 0o7777, radix: 8)
        return try SSHLoginScript(
            rootScript: script, arguments: [folder.string, path.string, temporary.string, String(size), mode])
    }

    private init(rootScript: String, arguments: [String]) throws {
        self.rootScript = rootScript
        self.arguments = arguments
        guard arguments.allSatisfy({ !$0.utf8.contains(0) }) else {
            throw Failure(.software, "a command for a host has a zero byte in it")
        }
        // The kernel takes 128 KiB in one word.
        guard arguments.reduce(0, { $0 + $1.utf8.count }) < 64 << 10 else {
            throw Failure(.software, "a command for a host is longer than 64 KiB")
        }
    }

    /// Becomes root, saying what happens. sudo is asked without a password first; when it wants one it reads the first line of standard
    /// input, after its prompt, and nothing of it before.
    private static let userScript = [
        #"a=$1; b=$2; r=$3; shift 3"#,
        #"say() { echo; echo "$a$b $1"; }"#,
        #"if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "$r" sh "$a" "$b" "$@"; fi"#,
        #"command -v sudo >/dev/null 2>&1 || { say no-sudo; exit 1; }"#,
        #"LC_ALL=C; export LC_ALL"#,
        #"if e=$(sudo -n -H -- /bin/sh -c : 2>&1 </dev/null)"#,
        #"then exec sudo -n -H -- /bin/sh -c "$r" sh "$a" "$b" "$@"; fi"#,
        // sudo-rs says that "interactive authentication is required".
        #"case $e in *password*|*"interactive authentication"*) ;; *) echo "$e" >&2; say refused; exit 1;; esac"#,
        #"say password; echo >&2"#,
        #"exec sudo -S -k -H -p "$b$a" -- /bin/sh -c "$r" sh "$a" "$b" "$@""#,
    ].joined(separator: "; ")

    /// The line for the login shell.
    func commandLine(_ login: SSHLogin) -> String {
        "exec "
            + shellQuoted(
                ["/bin/sh", "-c", Self.userScript, "sh", login.halves.first, login.halves.second, rootScript]
                    + arguments)
    }
}
