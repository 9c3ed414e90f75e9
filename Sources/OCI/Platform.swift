/// An operating system and processor (OCI image index 1.1, `platform`).
public struct Platform: Hashable, Sendable, Codable, CustomStringConvertible {
    /// GOARCH: `amd64`, `arm64`, …
    public var architecture: String
    /// GOOS: `linux`, …
    public var os: String
    /// The processor's variant: `v7`, `v8`, …
    public var variant: String?
    /// The operating system's version (Windows).
    public var osVersion: String?
    /// Features that the operating system must have (Windows).
    public var osFeatures: [String]?

    private enum CodingKeys: String, CodingKey {
        case architecture, os, variant
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }

    /// Makes a platform.
    public init(os: String = "linux", architecture: String, variant: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
    }

    /// Parses `linux/amd64` or `linux/arm/v7`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        self.init(os: parts[0], architecture: parts[1], variant: parts.count == 3 ? parts[2] : nil)
    }

    /// The platform of this process.
    public static var current: Platform {
        #if arch(arm64)
            Platform(architecture: "arm64")
        #else
            Platform(architecture: "amd64")
        #endif
    }

    /// `linux/amd64`, with the variant when there is one.
    public var description: String {
        variant.map { "\(os)/\(architecture)/\($0)" } ?? "\(os)/\(architecture)"
    }

    /// Whether an image for `self` runs on `host`; a missing variant matches any (arm64 is v8 by definition).
    public func runs(on host: Platform) -> Bool {
        os == host.os && architecture == host.architecture
            && (variant == nil || host.variant == nil || variant == host.variant)
    }
}
