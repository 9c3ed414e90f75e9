/// A bootstrap token: what a new node shows to the API server. Made here, so that nothing has to be read out of prose.
///
/// It has no description, so that it does not slip into a log.
public struct BootstrapToken: Sendable, Hashable {
    /// `[a-z0-9]{6}.[a-z0-9]{16}`, the form that Kubernetes demands.
    let text: String

    /// Makes a random token (81 bits of the system's randomness in the secret part).
    public init() {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        var generator = SystemRandomNumberGenerator()
        func word(_ length: Int) -> String {
            String((0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
        }
        text = "\(word(6)).\(word(16))"
    }

    /// Text that others wrote, without the token's secret.
    func redacted(_ other: String) -> String {
        other.replacing(text, with: "\(identifier).[secret]")
    }

    /// The public half, by which the token's Secret is named.
    var identifier: String { String(text.prefix(6)) }
}
