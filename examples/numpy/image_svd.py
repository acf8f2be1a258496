"""Linear algebra on a picture: how few numbers describe it?

python image_svd.py [FOLDER]      also writes the pictures to FOLDER, as .pgm files

This is an ordinary NumPy script. Only the import says `mnn.numpy` instead of `numpy`.
"""

import sys

import mnn.numpy as np

# --- The picture ---------------------------------------------------------------------------------

# Two suns over the sea, made of functions of the coordinates: an array (height, width, 3) of
# colours between 0 and 1.
HEIGHT, WIDTH = 96, 128
y, x = np.meshgrid(np.linspace(0, 1, HEIGHT), np.linspace(0, 1, WIDTH), indexing="ij")


def sun(across, down, radius):
    return 0.5 - 0.5 * np.tanh(100 * (np.hypot(x - across, 0.75 * (y - down)) - radius))


sky = np.stack([0.3 + 0.5 * y, 0.4 + 0.3 * y, 0.9 - 0.5 * y], axis=-1)
waves = 0.1 * np.sin(60 * y * y + 6 * np.sin(9 * x + 7 * y))
sea = np.stack([0.1 + waves, 0.2 + waves, 0.5 + waves], axis=-1)
picture = np.where((y > 0.6)[..., np.newaxis], sea, sky)
for disc, colour in (
    (sun(0.3, 0.3, 0.12), [1.0, 0.8, 0.2]),
    (sun(0.75, 0.2, 0.06), [1.0, 0.3, 0.2]),
):
    picture += disc[..., np.newaxis] * (np.array(colour) - picture)
picture = np.clip(picture, 0, 1)
print("picture", *picture.shape, picture.ndim, "axes")
print("between", round(float(picture.min()), 1), "and", round(float(picture.max()), 1))

# --- Shape, axis and array properties ------------------------------------------------------------

red = picture[:, :, 0]
print("red", *red.shape)

# Brightness is a weighted sum of the colours: the product of an array (H, W, 3) and a vector (3).
grey = picture @ np.array([0.2126, 0.7152, 0.0722])
print("grey", *grey.shape)

# --- The singular value decomposition ------------------------------------------------------------

# Every matrix is the product U S Vt of rotations and of a stretching along axes.
U, s, Vt = np.linalg.svd(grey, full_matrices=False)
print("factors", *U.shape, "and", *s.shape, "and", *Vt.shape)

# s holds the diagonal of S only; a column vector of them stretches the rows of Vt.
product = U @ (s[:, np.newaxis] * Vt)
print("the product is the picture:", bool(np.allclose(product, grey, atol=1e-4)))
print("columns of U are orthonormal:", bool(np.allclose(U.T @ U, np.eye(HEIGHT), atol=1e-4)))
print("in order:", bool(np.all(s[:-1] >= s[1:])))

# Few singular values are large. They hold nearly all of the picture.
share = np.cumsum(s**2) / np.sum(s**2)
for wanted in (0.99, 0.999, 0.9999):
    print(f"{wanted:.2%} of the energy in", int(np.argmax(share > wanted)) + 1, "of", len(s))

# --- Approximations ------------------------------------------------------------------------------


def approximation(matrix, terms):
    """Return the best matrix of a rank for a matrix, or for each of several."""
    left, middle, right = np.linalg.svd(matrix, full_matrices=False)
    return (left[..., :terms] * middle[..., np.newaxis, :terms]) @ right[..., :terms, :]


for terms in (1, 5, 10, 20):
    error = np.linalg.norm(grey - approximation(grey, terms)) / np.linalg.norm(grey)
    numbers = terms * (HEIGHT + WIDTH + 1)
    print(f"rank {terms}: {numbers / grey.size:.0%} of the numbers, error {float(error):.3f}")

# Eckart and Young: no matrix of that rank is nearer, and what is left over has the other values.
left_over = np.linalg.norm(grey - approximation(grey, 5))
print("left over:", bool(np.isclose(left_over, np.sqrt(np.sum(s[5:] ** 2)), rtol=1e-3)))

# All colours at once: the decomposition acts on the last two axes, so colours go first.
colours = np.transpose(picture, (2, 0, 1))
small = np.clip(np.transpose(approximation(colours, 10), (1, 2, 0)), 0, 1)
print("colours", *small.shape, f"largest difference {float(np.abs(small - picture).max()):.2f}")

# --- Writing pictures ----------------------------------------------------------------------------

if len(sys.argv) > 1:
    for terms in (1, 5, 10, 20):
        bytes_ = np.clip(approximation(grey, terms) * 255, 0, 255).astype(np.uint8)
        with open(f"{sys.argv[1]}/rank_{terms}.pgm", "wb") as file:
            file.write(f"P5 {WIDTH} {HEIGHT} 255\n".encode())
            file.write(bytes_.tobytes())
