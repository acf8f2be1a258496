"""A first walk through arrays: making, indexing, reshaping, broadcasting them.

This is an ordinary NumPy script. Only the import says `mnn.numpy` instead of `numpy`.
"""

import mnn.numpy as np

# --- Making arrays -------------------------------------------------------------------------------

# An array is a grid of numbers of one type. Its axes have sizes, which are its shape.
a = np.arange(15).reshape(3, 5)
print(a)
print(*a.shape, a.ndim, a.size)

# Lists become arrays, lists of lists arrays with two axes.
b = np.array([(1.5, 2, 3), (4, 5, 6)])
print(b)

# Types can be chosen, and placeholders filled in later.
print(np.array([[1, 2], [3, 4]], dtype=complex))
print(np.zeros((3, 4)))
print(np.ones((2, 3, 4), dtype=np.int16).sum())
print(np.linspace(0, 2, 9))

# --- Arithmetic ----------------------------------------------------------------------------------

# Operators work element by element and make new arrays.
temperatures = np.array([20.0, 30.0, 40.0, 50.0])
steps = np.arange(4)
print(temperatures - steps)
print(steps**2)
print(temperatures < 35)

# The product of matrices has an operator of its own.
A = np.array([[1, 1], [0, 1]])
B = np.array([[2, 0], [3, 4]])
print(A * B)
print(A @ B)

# Some operators change an array in place.
counts = np.ones((2, 3), dtype=np.int32)
counts *= 3
counts += np.array([1, 2, 3], dtype=np.int32)
print(counts)

# Reductions take all elements, or those along an axis.
table = np.arange(12).reshape(3, 4)
print(table.sum(), table.min(), table.max())
print(table.sum(axis=0))
print(table.min(axis=1))
print(table.cumsum(axis=1))

# Universal functions: the usual ones of mathematics, for each element.
print(np.sqrt(np.array([0.0, 1.0, 4.0])))
print(np.add(steps, np.array([2, -1, 4, 0])))

# --- Indexing, slicing and iterating -------------------------------------------------------------

cubes = np.arange(10) ** 3
print(cubes[2], cubes[2:5])
cubes[:6:2] = 1000
print(cubes)
print(cubes[::-1])


def place(x, y):
    return 10 * x + y


grid = np.fromfunction(place, (5, 4), dtype=int)
print(grid[2, 3])
print(grid[0:5, 1])
print(grid[:, 1])
print(grid[1:3, :])
print(grid[-1])
for row in grid[:2]:
    print(row)
print([int(element) for element in grid[:2].flat])

# --- Shapes --------------------------------------------------------------------------------------

print(grid.ravel())
print(grid.reshape(2, -1))
print(*grid.T.shape)
print(*grid[:, np.newaxis].shape)

# Arrays are put together, and taken apart, along any axis.
left, right = np.array([[9, 7], [5, 2]]), np.array([[1, 9], [5, 1]])
print(np.vstack((left, right)))
print(np.hstack((left, right)))
parts = np.hsplit(np.zeros((2, 12)), 3)
print(len(parts), *parts[0].shape)

# --- Copies and views ----------------------------------------------------------------------------

# A slice is a view: it looks at the memory of the array that it was taken from.
s = table[:, 1:3]
s[:] = 10
print(table)

# A copy has memory of its own.
d = table.copy()
d[0, 0] = 9999
print(table[0, 0])

# --- Broadcasting --------------------------------------------------------------------------------

# Arrays of different shapes meet as if sizes of 1 were repeated, and missing axes had size 1.
column = np.array([[0], [10], [20], [30]])
row = np.array([0, 1, 2])
print(column + row)

# The distance of observations from codes, all at once.
observation = np.array([111.0, 188.0])
codes = np.array([[102.0, 203.0], [132.0, 193.0], [45.0, 155.0], [57.0, 173.0]])
distances = np.sqrt(np.sum((codes - observation) ** 2, axis=-1))
print(np.argmin(distances))

# Normalising columns: shapes (4, 2) and (2,).
centred = codes - codes.mean(axis=0)
print(np.abs(centred.mean(axis=0)) < 1e-4)

# --- Indexing with arrays ------------------------------------------------------------------------

squares = np.arange(12) ** 2
print(squares[np.array([1, 1, 3, 8, 5])])
print(squares[np.array([[3, 4], [9, 7]])])

palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]])
image = np.array([[0, 1, 2, 0], [0, 3, 4, 0]])
print(*palette[image].shape)

# One index for each axis; they broadcast, too.
table = np.arange(12).reshape(3, 4)
i = np.array([[0, 1], [1, 2]])
j = np.array([[2, 1], [3, 3]])
print(table[i, j])
print(table[i, 2])
print(table[np.ix_([0, 2], [1, 3])])

# The largest of each series over time.
time = np.linspace(20, 145, 5)
data = np.cos(np.arange(20)).reshape(5, 4)
places = data.argmax(axis=0)
print(places)
print(time[places])
print(np.all(data[places, range(data.shape[1])] == data.max(axis=0)))

# Masks choose the elements where they are true, and can be assigned to.
mask = table > 4
print(mask)
print(table[mask])
table[mask] = 0
print(table)
