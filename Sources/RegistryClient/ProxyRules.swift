import Glibc
import Report

/// Which requests go through a proxy, by the variables that Go's `httpproxy` reads, so that what works for docker, podman and
/// containerd works here too.
///
/// - `HTTPS_PROXY` is for https, `HTTP_PROXY` for http: `[http://|socks5://][USER:PASSWORD@]HOST[:PORT]`.
/// - `NO_PROXY` names hosts that are reached directly, with commas between: `example.org` (and all below), `.example.org` (only
///   what is below), `192.0.2.1`, `192.0.2.0/24`, each with `:PORT` if only that port is meant (not for networks); `*` is all.
/// - In upper case first, then in lower case. `HTTP_PROXY` in upper case is not read where `REQUEST_METHOD` is set: in a CGI
///   program it comes from whoever asks.
/// - `localhost`, 127.0.0.0/8 and ::1 are always reached directly.
public struct ProxyRules: Hashable, Sendable {
    /// The text of a variable, not read before somebody needs it: a mistake in it must not stop who asks no registry.
    private struct Setting: Hashable, Sendable, CustomReflectable {
        var variable: String
        var text: String
        var customMirror: Mirror { Mirror(self, children: [:]) }
    }

    private var http: Setting?
    private var https: Setting?
    private var exceptions = ProxyExceptions("")

    /// Everything is reached directly.
    public init() {}

    /// Takes what the variables say.
    public init(environment: [String: String]) {
        func setting(_ names: [String]) -> Setting? {
            for name in names {
                if let text = environment[name], !text.isEmpty { return Setting(variable: name, text: text) }
            }
            return nil
        }
        let isCGI = environment["REQUEST_METHOD"].map { !$0.isEmpty } ?? false
        http = setting(isCGI ? ["http_proxy"] : ["HTTP_PROXY", "http_proxy"])
        https = setting(["HTTPS_PROXY", "https_proxy"])
        exceptions = ProxyExceptions(setting(["NO_PROXY", "no_proxy"])?.text ?? "")
    }

    /// The proxy for requests to a place; nil when they go there directly.
    ///
    /// - Throws: `Failure` of kind `invalidInput` when the variable is no proxy's address.
    func proxy(for origin: Origin) throws(Failure) -> Proxy? {
        guard let setting = origin.scheme == "https" ? https : http,
            origin.host != "localhost", InternetAddress(origin.host)?.isLoopback != true,
            !exceptions.contain(host: origin.host, port: origin.port)
        else { return nil }
        return try Proxy(setting.text, from: setting.variable)
    }
}

/// What `NO_PROXY` names.
struct ProxyExceptions: Hashable, Sendable {
    private enum Entry: Hashable {
        case everything
        case network(InternetAddress, bits: Int)
        case address(InternetAddress, port: Int?)
        /// - Parameter below: with a dot before it.
        case domain(below: String, isItself: Bool, port: Int?)
    }

    private var entries: [Entry]

    /// Reads the list; what is no entry is skipped, as everywhere.
    init(_ text: String) {
        entries = text.lowercased().split { $0 == "," || $0 == " " || $0 == "\t" || $0.isNewline }
            .compactMap(Self.entry)
    }

    private static func entry(_ text: Substring) -> Entry? {
        if text == "*" { return .everything }
        if let slash = text.firstIndex(of: "/") {
            let digits = text[text.index(after: slash)...]
            guard let address = InternetAddress(String(text[..<slash])), digits.utf8.count <= 3,
                digits.utf8.allSatisfy({ (48...57).contains($0) }), let bits = Int(digits),
                bits <= address.bytes.count * 8
            else { return nil }
            return .network(address, bits: bits)
        }
        guard let (host, port) = splitPort(text), !host.isEmpty else { return nil }
        if let address = InternetAddress(host) { return .address(address, port: port) }
        let name = host.hasPrefix("*.") ? host.dropFirst() : host[...]
        return name.hasPrefix(".")
            ? .domain(below: String(name), isItself: false, port: port)
            : .domain(below: ".\(name)", isItself: true, port: port)
    }

    /// Whether a host is reached directly.
    ///
    /// - Parameter host: in lower case, without brackets.
    func contain(host: String, port: Int) -> Bool {
        let address = InternetAddress(host)
        return entries.contains { entry in
            switch entry {
            case .everything: true
            case .network(let network, let bits): address?.isIn(network, bits: bits) ?? false
            case .address(let other, let wanted): address == other && (wanted ?? port) == port
            case .domain(let below, let isItself, let wanted):
                address == nil && (host.hasSuffix(below) || (isItself && host == below.dropFirst()))
                    && (wanted ?? port) == port
            }
        }
    }
}

/// An IPv4 or IPv6 address.
struct InternetAddress: Hashable, Sendable {
    /// 4 or 16, the most significant first.
    let bytes: [UInt8]

    /// Reads an address; one of IPv4 written as one of IPv6 (`::ffff:192.0.2.1`) is the former.
    init?(_ text: String) {
        guard text.utf8.count <= 45 else { return nil }
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            bytes = withUnsafeBytes(of: &four) { Array($0) }
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        let all = withUnsafeBytes(of: &six) { Array($0) }
        let isMapped = all[..<10].allSatisfy { $0 == 0 } && all[10] == 0xFF && all[11] == 0xFF
        bytes = isMapped ? Array(all[12...]) : all
    }

    var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }

    /// Whether the first bits are those of another address of the same kind.
    func isIn(_ network: InternetAddress, bits: Int) -> Bool {
        guard bytes.count == network.bytes.count else { return false }
        let (whole, rest) = (bits / 8, bits % 8)
        guard bytes[..<whole] == network.bytes[..<whole] else { return false }
        return rest == 0 || (bytes[whole] ^ network.bytes[whole]) >> (8 - rest) == 0
    }
}
